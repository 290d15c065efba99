package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/sirupsen/logrus"
)

const (
	defaultTimeout = time.Minute
	// maxAnswer bounds what is read of an answer, in bytes. list_db of ten thousand
	// databases is some 3 MB.
	maxAnswer = 64 << 20
	userAgent = "sqlflow_playground-client"
)

// Options say where the server is and who asks. URL and the certificates are
// required, each from a file or as PEM.
type Options struct {
	// URL is the server's, like https://playground.example:50052.
	URL string

	CAFile, CertFile, KeyFile string
	CA, Cert, Key             []byte // PEM; used where the file is ""

	// Timeout bounds one attempt, a minute by default.
	Timeout time.Duration
	// MaxWait bounds the time from which a create is not tried again: a wait that
	// would go beyond it is not begun, and the refusal is returned. Without it only
	// the context bounds a create.
	MaxWait time.Duration
	// OnWait, if given, is told before each wait why and for how long.
	OnWait func(reason string, wait time.Duration)

	// Log, if given, gets a line for each attempt at debug level.
	Log logrus.FieldLogger
	// Dial makes the connections; by default TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client calls one server. It is safe for concurrent use and keeps connections open
// until [Client.Close].
type Client struct {
	base     *url.URL
	once     *http.Client          // for what is tried once
	creating *retryablehttp.Client // for what is repeated as the server asks
	// streaming is for answers that go on; each piece must come within a time of its own.
	streaming *http.Client
	timeout   time.Duration // of one attempt
}

// New makes a Client; it connects to nothing yet. The error names the file or
// option that is wrong.
func New(o Options) (*Client, error) {
	base, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	config, err := o.tlsConfig(base.Hostname())
	if err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	once := &http.Client{
		Timeout: o.Timeout,
		Transport: &http.Transport{
			TLSClientConfig:     config,
			DialContext:         o.Dial,
			TLSHandshakeTimeout: 10 * time.Second,
			IdleConnTimeout:     time.Minute,
			ForceAttemptHTTP2:   true,
		},
		// The API redirects nowhere; a certificate is shown to its server only.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	streaming := *once
	streaming.Timeout = 0
	return &Client{base: base, once: once, creating: newRetrying(once, o), streaming: &streaming, timeout: o.Timeout}, nil
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("the server's URL is %q; it must be like https://host:50052", raw)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// Close closes the connections that no call uses.
func (c *Client) Close() { c.once.CloseIdleConnections() }

// Database is what the server tells about one user's database; see /api/openapi.yaml.
// Times that it does not know are zero.
type Database struct {
	UserID        string    `json:"user_id"`
	State         string    `json:"state"` // none, creating, ready or failed
	Reason        string    `json:"reason,omitempty"`
	DataSource    string    `json:"data_source,omitempty"`
	Created       time.Time `json:"created,omitzero"`
	DataSince     time.Time `json:"data_since,omitzero"`
	LastHeartBeat time.Time `json:"last_heart_beat,omitzero"`
	Expires       time.Time `json:"expires,omitzero"`
	Ahead         int       `json:"ahead,omitempty"`
	Client        string    `json:"client,omitempty"` // the gateway that asked for it; only list_db tells
}

// CreateDB returns the data source of user's database once it answers queries.
// It waits and asks again while the server says that it is not ready yet.
func (c *Client) CreateDB(ctx context.Context, user string) (dataSource string, err error) {
	body, err := userBody(user)
	if err != nil {
		return "", err
	}
	var answer struct {
		DataSource string `json:"data_source"`
	}
	if err := c.create(ctx, "create_db", "/api/create_db", body, &answer); err != nil {
		return "", err
	}
	if answer.DataSource == "" {
		return "", errors.New("create_db: the answer has no data_source; is this a playground server?")
	}
	return answer.DataSource, nil
}

// create posts what the server may ask to post again, by refusals of these codes; by any if
// there are none.
func (c *Client) create(ctx context.Context, name, path string, body []byte, answer any, codes ...string) error {
	call := &attempts{began: time.Now(), codes: codes}
	ctx = context.WithValue(ctx, attemptsKey{}, call)
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, c.url(path, nil), body)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	response, err := c.creating.Do(request)
	err = decode(name, response, err, answer)
	if err != nil && ctx.Err() != nil && call.refusal != nil {
		return fmt.Errorf("%w; the server's last answer was %w", err, call.refusal)
	}
	return err
}

// HeartBeat keeps user's database and returns the server's greeting.
func (c *Client) HeartBeat(ctx context.Context, user string) (greeting string, err error) {
	var text string
	err = c.get(ctx, "heart_beat", "/api/heart_beat", url.Values{"user_id": {user}}, &text)
	return text, err
}

// DB tells about user's database.
func (c *Client) DB(ctx context.Context, user string) (Database, error) {
	var db Database
	err := c.get(ctx, "db", "/api/db", url.Values{"user_id": {user}}, &db)
	return db, err
}

// Listing is what list_db answers.
type Listing struct {
	Databases []Database `json:"databases"` // ordered by user
	Pool      Pool       `json:"pool"`
}

// Pool counts the databases that the server makes ahead: how many there are to be, how
// many can be had at once, and how many are coming up.
type Pool struct {
	Want   int `json:"want"`
	Ready  int `json:"ready"`
	Coming int `json:"coming"`
}

// ListDB tells about all databases. For gateways only.
func (c *Client) ListDB(ctx context.Context) (Listing, error) {
	var all Listing
	err := c.get(ctx, "list_db", "/api/list_db", nil, &all)
	return all, err
}

// DeleteDB removes user's database now, and with purge the data that the server keeps on
// a volume for the user's return. That there is none is no error.
func (c *Client) DeleteDB(ctx context.Context, user string, purge bool) error {
	body, err := encodeBody(struct {
		UserID string `json:"user_id"`
		Purge  bool   `json:"purge,omitempty"`
	}{user, purge}, user)
	if err != nil {
		return err
	}
	return c.do(ctx, "delete_db", http.MethodPost, c.url("/api/delete_db", nil), bytes.NewReader(body), nil)
}

// OpenAPI returns the server's description of its API, YAML.
func (c *Client) OpenAPI(ctx context.Context) (string, error) {
	var text string
	err := c.get(ctx, "openapi", "/api/openapi.yaml", nil, &text)
	return text, err
}

// userBody is the JSON of create_db.
func userBody(user string) ([]byte, error) {
	return encodeBody(struct {
		UserID string `json:"user_id"`
	}{user}, user)
}

// encodeBody makes JSON of a body that names user. JSON has no other text than Unicode;
// what is not would arrive as another user's id.
func encodeBody(value any, user string) ([]byte, error) {
	if !utf8.ValidString(user) {
		return nil, errors.New("the user id is not UTF-8")
	}
	body, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode user id: %w", err)
	}
	return body, nil
}

func (c *Client) url(path string, query url.Values) string {
	u := *c.base
	u.Path += path
	u.RawQuery = query.Encode()
	return u.String()
}

func (c *Client) get(ctx context.Context, name, path string, query url.Values, answer any) error {
	return c.do(ctx, name, http.MethodGet, c.url(path, query), nil, answer)
}

func (c *Client) do(ctx context.Context, name, method, url string, body io.Reader, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	request.Header.Set("User-Agent", userAgent)
	response, err := c.once.Do(request)
	return decode(name, response, err, answer)
}

// decode turns one finished call into its answer (*string: the text itself, nil:
// not wanted, else JSON) or its error.
func decode(name string, response *http.Response, err error, answer any) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
		if _, tried := errors.AsType[*url.Error](err); tried && !errors.Is(err, context.Canceled) {
			return &unreachable{err}
		}
		return err // the context ended, perhaps between two attempts
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return &unreachable{fmt.Errorf("%s: the answer broke off: %w", name, err)}
	}
	if response.StatusCode != http.StatusOK {
		return newError(response, body)
	}
	switch to := answer.(type) {
	case nil:
	case *string:
		*to = string(body)
	default:
		if err := json.Unmarshal(body, to); err != nil {
			return fmt.Errorf("%s: the answer is not the JSON of a playground server: %w", name, err)
		}
	}
	return nil
}
