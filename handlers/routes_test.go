package handlers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"sqlflow.org/sqlflow_playground/client"
	"sqlflow.org/sqlflow_playground/handlers"
	"sqlflow.org/sqlflow_playground/internal/playground"
)

func TestAUsersDay(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	ann := g.client(t, "ann")

	db, err := ann.DB(t.Context(), "ann")
	if want := (client.Database{UserID: "ann", State: "none"}); err != nil || db != want {
		t.Fatalf("before: %+v, %v", db, err)
	}
	source, err := ann.CreateDB(t.Context(), "ann")
	if err != nil || source != "mysql://root:root@tcp(10.0.0.1:3306)/?maxAllowedPacket=0" {
		t.Fatalf("create: %q, %v", source, err)
	}
	if again, err := ann.CreateDB(t.Context(), "ann"); err != nil || again != source {
		t.Errorf("create again: %q, %v", again, err)
	}
	if greeting, err := ann.HeartBeat(t.Context(), "ann"); err != nil || greeting != "hello ann" {
		t.Errorf("beat: %q, %v", greeting, err)
	}
	db, err = ann.DB(t.Context(), "ann")
	want := client.Database{
		UserID: "ann", State: "ready", DataSource: source,
		Created: began, DataSince: began.Add(time.Second), LastHeartBeat: began.Add(time.Hour), Expires: began.Add(24 * time.Hour),
	}
	if err != nil || db != want {
		t.Errorf("db: %+v, %v, want %+v", db, err, want)
	}
	for range 2 { // there is none the second time
		if err := ann.DeleteDB(t.Context(), "ann", false); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if db, err := ann.DB(t.Context(), "ann"); err != nil || db.State != "none" {
		t.Errorf("after: %+v, %v", db, err)
	}
}

func TestWireFormat(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.set("failed", playground.Status{User: "failed", State: playground.StateFailed, Reason: `no image "x"`})
	g.set("queued", playground.Status{User: "queued", Client: "DSW", State: playground.StateCreating, Ahead: 7})
	c := g.http(t, gatewayName, false)
	for _, test := range []struct {
		method, path, body string
		contentType, want  string
	}{
		{"GET", "/", "", "text/plain; charset=utf-8", "Hello, SQLFlow Playground!"},
		{"POST", "/api/create_db", `{"user_id": "ann"}`, "application/json",
			`{"data_source":"mysql://root:root@tcp(10.0.0.3:3306)/?maxAllowedPacket=0"}` + "\n"},
		{"GET", "/api/heart_beat?user_id=ann", "", "text/plain; charset=utf-8", "hello ann"},
		{"GET", "/api/heart_beat?user_id=<b>", "", "text/plain; charset=utf-8", "hello <b>"},
		{"GET", "/api/db?user_id=ann", "", "application/json", `{"user_id":"ann","state":"ready",` +
			`"data_source":"mysql://root:root@tcp(10.0.0.3:3306)/?maxAllowedPacket=0","created":"2026-03-01T08:30:00Z",` +
			`"data_since":"2026-03-01T08:30:01Z","last_heart_beat":"2026-03-01T09:30:00Z","expires":"2026-03-02T08:30:00Z"}` + "\n"},
		{"GET", "/api/db?user_id=failed", "", "application/json", `{"user_id":"failed","state":"failed","reason":"no image \"x\""}` + "\n"},
		{"GET", "/api/db?user_id=queued", "", "application/json", `{"user_id":"queued","state":"creating","ahead":7}` + "\n"},
		{"POST", "/api/delete_db", `{"user_id":"ann"}`, "application/json", `{"user_id":"ann","state":"none"}` + "\n"},
		{"GET", "/api/list_db", "", "application/json", `{"databases":[{"user_id":"failed","state":"failed","reason":"no image \"x\""},` +
			`{"user_id":"queued","state":"creating","ahead":7,"client":"DSW"}],"pool":{"want":3,"ready":2,"coming":1}}` + "\n"},
	} {
		got := g.do(t, c, test.method, test.path, test.body)
		if got.status != http.StatusOK || got.body != test.want || got.header.Get("Content-Type") != test.contentType {
			t.Errorf("%s %s: %d %s\n%s\nwant\n%s", test.method, test.path, got.status, got.header.Get("Content-Type"), got.body, test.want)
		}
		for header, want := range map[string]bool{
			"X-Request-Id":           true,
			"X-Content-Type-Options": strings.HasPrefix(test.contentType, "text/"),
			"Cache-Control":          test.method == "GET" && test.contentType == "application/json",
		} {
			if value := got.header.Get(header); (value != "") != want {
				t.Errorf("%s %s: %s is %q", test.method, test.path, header, value)
			}
		}
	}
}

func TestListIsOrderedByUser(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	c := g.client(t, gatewayName)
	if all, err := c.ListDB(t.Context()); err != nil || len(all.Databases) != 0 {
		t.Errorf("empty: %v, %v", all, err)
	}
	for _, user := range []string{"cid", "ann", "bob"} {
		if _, err := c.CreateDB(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}
	all, err := c.ListDB(t.Context())
	if all.Pool != (client.Pool{Want: 3, Ready: 2, Coming: 1}) {
		t.Errorf("the pool is %+v", all.Pool)
	}
	if got := sortedUsers(all.Databases); err != nil || !slices.Equal(got, []string{"ann", "bob", "cid"}) {
		t.Errorf("got %v, %v", got, err)
	}
}

// An id arrives as it was, in bodies and in queries, and means nothing to anybody.
func TestIDsArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	c := g.client(t, gatewayName)
	ids := []string{
		"a+b@x.org", "a b", "a&b=c", "#", "100%", "%41", "../../etc/passwd", "$(reboot)", `"'\`, "a\nb", "a\x00b", "\u202eevil",
		"陈", "🦊", "\ufeffann", "A-B", "a.b", "user_id=ann", "<script>", "a;b", strings.Repeat("x", 1024), "\ufffd", " ", "\u2028",
	}
	sources := map[string]string{}
	for _, id := range ids {
		source, err := c.CreateDB(t.Context(), id)
		if err != nil {
			t.Errorf("create %q: %v", id, err)
		}
		if other, taken := sources[source]; taken {
			t.Errorf("%q got the database of %q", id, other)
		}
		sources[source] = id
		if greeting, err := c.HeartBeat(t.Context(), id); err != nil || greeting != "hello "+id {
			t.Errorf("beat %q: %q, %v", id, greeting, err)
		}
		if db, err := c.DB(t.Context(), id); err != nil || db.UserID != id || db.State != "ready" {
			t.Errorf("db %q: %+v, %v", id, db, err)
		}
	}
	if all, err := c.ListDB(t.Context()); err != nil || len(all.Databases) != len(ids) {
		t.Errorf("%d databases, %v; want %d", len(all.Databases), err, len(ids))
	}
}

func TestBadIDsAreRefused(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	c := g.http(t, gatewayName, false)
	for _, test := range []struct{ name, body, want string }{
		{"nothing", "", "not valid JSON"},
		{"not JSON", "user_id=ann", "not valid JSON"},
		{"a list", `["ann"]`, "no object"},
		{"null", `null`, "no object"},
		{"cut off", `{"user_id": "ann"`, "not valid JSON"},
		{"cut off in the id", `{"user_id": "an`, "not valid JSON"},
		{"two objects", `{"user_id":"ann"}{"user_id":"bob"}`, "not valid JSON"},
		{"garbage behind", `{"user_id":"ann"} x`, "not valid JSON"},
		{"missing", `{}`, "missing or empty"},
		{"another case", `{"USER_ID":"ann"}`, "missing or empty"},
		{"empty", `{"user_id":""}`, "missing or empty"},
		{"twice", `{"user_id":"ann","user_id":"bob"}`, "twice"},
		{"twice, escaped", `{"user_id":"ann","user\u005fid":"bob"}`, "twice"},
		{"a number", `{"user_id":7}`, "must be a string"},
		{"null id", `{"user_id":null}`, "must be a string"},
		{"a list of ids", `{"user_id":["ann"]}`, "must be a string"},
		{"not UTF-8", "{\"user_id\":\"\xff\"}", "not UTF-8"},
		{"half a surrogate pair", `{"user_id":"\ud83e"}`, "not valid Unicode"},
		{"the other half", `{"user_id":"\udd8a"}`, "not valid Unicode"},
		{"halves apart", `{"user_id":"\ud83e-\udd8a"}`, "not valid Unicode"},
		{"long", `{"user_id":"` + strings.Repeat("x", 1025) + `"}`, "1025 bytes"},
	} {
		for _, path := range []string{"/api/create_db", "/api/delete_db"} {
			got := g.do(t, c, "POST", path, test.body)
			e := decodeError(t, got)
			if got.status != http.StatusBadRequest || e.Code != "bad_request" || !strings.Contains(e.Message, test.want) {
				t.Errorf("%s to %s: %d %+v, want %q", test.name, path, got.status, e, test.want)
			}
		}
	}
	for _, query := range []string{"", "?", "?user=ann", "?user_id=", "?user_id", "?user_id=%zz", "?user_id=" + strings.Repeat("x", 1025), "?user_id=%ff"} {
		if got := g.do(t, c, "GET", "/api/db"+query, ""); got.status != http.StatusBadRequest {
			t.Errorf("db%s: %d %s", query, got.status, got.body)
		}
	}
	if got := g.do(t, c, "GET", "/api/heart_beat", ""); got.status != http.StatusBadRequest {
		t.Errorf("heart_beat without an id: %d", got.status)
	}
}

func TestGoodBodiesAreTaken(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	c := g.http(t, gatewayName, false)
	for body, want := range map[string]string{
		`{"user_id": "ann"}`:                            "ann",
		` { "more": {"user_id": [1]}, "user_id":"bob"}`: "bob",
		"{\"user_id\":\"\\u0063id\"}\r\n":               "cid",
		`{"user_id":"\ud83e\udd8a"}`:                    "🦊",
		`{"user_id":"\\ud83e"}`:                         `\ud83e`,
	} {
		if got := g.do(t, c, "POST", "/api/create_db", body); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
		if g.Database(playground.User(want)).State != playground.StateReady {
			t.Errorf("%s made no database for %q", body, want)
		}
	}
}

func TestLargeBodiesAreRefused(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	padded := func(size int) string {
		return `{"user_id":"ann","x":"` + strings.Repeat("x", size-24) + `"}`
	}
	if size := len(padded(64 << 10)); size != 64<<10 {
		t.Fatalf("the body has %d bytes", size)
	}
	for _, http2 := range []bool{false, true} {
		c := g.http(t, "ann", http2)
		if got := g.do(t, c, "POST", "/api/create_db", padded(64<<10)); got.status != http.StatusOK {
			t.Errorf("64 KiB: %d %s", got.status, got.body)
		}
		got := g.do(t, c, "POST", "/api/create_db", padded(64<<10+1))
		if got.status != http.StatusRequestEntityTooLarge || decodeError(t, got).Code != "too_large" {
			t.Errorf("64 KiB and one: %d %s", got.status, got.body)
		}
	}
	// Without a length that could be believed.
	request, err := http.NewRequestWithContext(t.Context(), "POST", g.url+"/api/create_db", struct{ *strings.Reader }{strings.NewReader(padded(1 << 20))})
	if err != nil {
		t.Fatal(err)
	}
	response, err := g.http(t, "ann", false).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("chunked: %s", response.Status)
	}
}

// What the Manager says becomes HTTP in one place.
func TestErrorsBecomeStatuses(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	cause := errors.New("kubectl: secret of the cluster")
	for _, test := range []struct {
		err        error
		status     int
		code       string
		retryAfter string
	}{
		{playground.Errorf(playground.BadRequest, "m"), 400, "bad_request", ""},
		{playground.Errorf(playground.Forbidden, "m"), 403, "forbidden", ""},
		{playground.Errorf(playground.Full, "m"), 429, "too_many_databases", "30"},
		{playground.Errorf(playground.Maintenance, "m"), 503, "maintenance", "60"},
		{playground.Errorf(playground.StillCreating, "m"), 503, "still_creating", "2"},
		{playground.Errorf(playground.Unavailable, "m"), 503, "cluster_unavailable", "10"},
		{playground.Errorf(playground.Interrupted, "m"), 503, "interrupted", "2"},
		{playground.Errorf(playground.CannotStart, "m"), 502, "cannot_start", ""},
		{playground.Errorf(playground.Internal, "m"), 500, "internal", ""},
		{&playground.Error{Code: playground.Full, Message: "m", RetryAfter: 41 * time.Second}, 429, "too_many_databases", "41"},
		{&playground.Error{Code: playground.StillCreating, Message: "m", RetryAfter: 1200 * time.Millisecond}, 503, "still_creating", "2"},
		{&playground.Error{Code: playground.StillCreating, Message: "m", RetryAfter: time.Nanosecond}, 503, "still_creating", "1"},
		{fmt.Errorf("wrapped: %w", &playground.Error{Code: playground.CannotStart, Message: "m", Err: cause}), 502, "cannot_start", ""},
		{cause, 500, "internal", ""},
	} {
		g.fail("ann", test.err)
		got := g.do(t, g.http(t, "ann", false), "POST", "/api/create_db", `{"user_id":"ann"}`)
		e := decodeError(t, got)
		if got.status != test.status || e.Code != test.code || got.header.Get("Retry-After") != test.retryAfter {
			t.Errorf("%v: %d %q %+v", test.err, got.status, got.header.Get("Retry-After"), e)
		}
		if strings.Contains(got.body, "secret") {
			t.Errorf("%v: the cause was sent: %s", test.err, got.body)
		}
		if errors.Is(test.err, cause) {
			if line := g.line(t, e.RequestID); !strings.Contains(fmt.Sprint(line.Data["error"]), cause.Error()) {
				t.Errorf("the cause is not in the log: %v", line.Data)
			}
		}
	}
}

func TestQueuedCreatesTellTheirPlace(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.fail("ann", &playground.Error{Code: playground.StillCreating, Message: "3 before it", Ahead: 3, RetryAfter: time.Second})
	_, err := g.client(t, "ann").CreateDB(t.Context(), "ann")
	if e := refusal(t, err); e.Ahead != 3 || e.Message != "3 before it" || e.RetryAfter != time.Second {
		t.Errorf("got %+v", e)
	}
	g.fail("bob", playground.Errorf(playground.StillCreating, "it comes up"))
	g.fail("cal", playground.Errorf(playground.Full, "no room"))
	c := g.http(t, gatewayName, false)
	for user, want := range map[string]string{"ann": "3", "bob": "0", "cal": ""} {
		got := g.do(t, c, "POST", "/api/create_db", `{"user_id":"`+user+`"}`)
		if ahead := strings.Join(got.header.Values("X-Queue-Ahead"), " "); ahead != want {
			t.Errorf("%s: X-Queue-Ahead is %q, want %q", user, ahead, want)
		}
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	c := g.http(t, "ann", false)
	for _, path := range []string{"/api", "/api/", "/api/create_db/", "//", "/api//db", "/api/../api/db", "/healthz", "/metrics", "/%00"} {
		got := g.do(t, c, "GET", path, "")
		if e := decodeError(t, got); got.status != http.StatusNotFound || e.Code != "not_found" {
			t.Errorf("GET %s: %d %s", path, got.status, got.body)
		}
	}
	for _, test := range []struct{ method, path, allow string }{
		{"GET", "/api/create_db", "POST"},
		{"PUT", "/api/create_db", "POST"},
		{"HEAD", "/api/delete_db", "POST"},
		{"POST", "/api/heart_beat", "GET, HEAD"},
		{"DELETE", "/api/db", "GET, HEAD"},
		{"OPTIONS", "/", "GET, HEAD"},
		{"GARBAGE", "/api/list_db", "GET, HEAD"},
	} {
		got := g.do(t, c, test.method, test.path, "")
		if got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != test.allow {
			t.Errorf("%s %s: %d, Allow %q, want %q", test.method, test.path, got.status, got.header.Get("Allow"), test.allow)
		}
		if test.method != "HEAD" && decodeError(t, got).Code != "method_not_allowed" {
			t.Errorf("%s %s: %s", test.method, test.path, got.body)
		}
	}
}

func TestHEADIsGETWithoutABody(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	c := g.http(t, gatewayName, false)
	for _, path := range []string{"/", "/api/heart_beat?user_id=ann", "/api/db?user_id=ann", "/api/list_db", "/api/openapi.yaml"} {
		head, full := g.do(t, c, "HEAD", path, ""), g.do(t, c, "GET", path, "")
		if head.status != http.StatusOK || head.body != "" || head.header.Get("Content-Type") != full.header.Get("Content-Type") {
			t.Errorf("HEAD %s: %+v, GET: %+v", path, head, full)
		}
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	g.fail("ann", errPanic)
	ann := g.client(t, "ann")
	_, err := ann.CreateDB(t.Context(), "ann")
	e := refusal(t, err)
	if e.Status != http.StatusInternalServerError || e.Code != "internal" || strings.Contains(e.Message, "bug") {
		t.Errorf("got %+v", e)
	}
	if line := g.line(t, e.RequestID); !strings.Contains(fmt.Sprint(line.Data["error"]), "panic: a bug") {
		t.Errorf("the log has %v", line.Data)
	}
	if _, err := ann.HeartBeat(t.Context(), "ann"); err != nil {
		t.Errorf("and after it: %v", err)
	}
}

func TestTheDescriptionIsServed(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	text, err := g.client(t, "ann").OpenAPI(t.Context())
	if err != nil || !strings.HasPrefix(text, "openapi: 3.1.0\n") {
		t.Errorf("got %.40q, %v", text, err)
	}
}

func TestMissingOptionsAreNamed(t *testing.T) {
	t.Parallel()
	if _, err := handlers.New(handlers.Options{}); err == nil || !strings.Contains(err.Error(), "Options.Manager") {
		t.Errorf("got %v", err)
	}
}

type errorDetail struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
}

func decodeError(t testing.TB, a answer) errorDetail {
	t.Helper()
	var body struct {
		Error errorDetail `json:"error"`
	}
	if err := json.Unmarshal([]byte(a.body), &body); err != nil {
		t.Fatalf("%d %q is no JSON error: %v", a.status, a.body, err)
	}
	if body.Error.RequestID == "" || body.Error.RequestID != a.header.Get("X-Request-Id") || body.Error.Message == "" {
		t.Errorf("error %+v, X-Request-Id %q", body.Error, a.header.Get("X-Request-Id"))
	}
	return body.Error
}
