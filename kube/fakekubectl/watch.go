package fakekubectl

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

var errLost = failf("error: unexpected EOF: the watch was lost")

// watch prints the events after query's resource version until its time is over, the
// cluster goes down, or somebody plants the fault that ends it.
func (c *call) watch(resource, namespace string, query url.Values) error {
	from, err := strconv.Atoi(query.Get("resourceVersion"))
	if err != nil {
		return failf("Error from server: resourceVersion: Invalid value: %[1]q: strconv.ParseUint: parsing %[1]q: invalid syntax", query.Get("resourceVersion"))
	}
	if from < c.store.settings().Compacted {
		_, err := fmt.Fprintf(c.stdout, `{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: %d (%d)","reason":"Expired","code":410}}`+"\n",
			from, c.store.settings().Compacted)
		return err
	}
	life := time.Hour
	if seconds, err := strconv.Atoi(query.Get("timeoutSeconds")); err == nil {
		life = time.Duration(seconds) * time.Second
	}
	folder, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Add(c.store.dir); err != nil {
		return err
	}
	log, err := os.OpenFile(c.store.path("events"), os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	f := &follower{c: c, lines: bufio.NewReader(log), resource: resource, namespace: namespace, from: from, match: selector(query.Get("labelSelector"))}
	over, lost := time.After(life), c.store.lost()
	for {
		if c.store.isDown() {
			return errLost
		}
		if err := f.catchUp(); err != nil {
			return err
		}
		select {
		case <-over:
			_, err := fmt.Fprintf(c.stdout, `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d","creationTimestamp":null}}}`+"\n", f.from)
			return err
		case _, open := <-folder.Events:
			if !open {
				return errLost
			}
			switch now := c.store.lost(); {
			case now.N == lost.N:
			case now.Orderly:
				return nil
			default:
				return errLost
			}
		case err := <-folder.Errors:
			return err
		}
	}
}

// follower reads the log of events as it grows.
type follower struct {
	c                   *call
	lines               *bufio.Reader
	half                string // of a line whose end is not written yet
	resource, namespace string
	from                int
	match               func(dict) bool
}

func (f *follower) catchUp() error {
	for {
		part, err := f.lines.ReadString('\n')
		f.half += part
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		line := f.half
		f.half = ""
		var e event
		if err := json.Unmarshal([]byte(strings.TrimSpace(line)), &e); err != nil {
			return err
		}
		var o dict
		if err := json.Unmarshal(e.Object, &o); err != nil {
			return err
		}
		if e.Version <= f.from || e.Resource != f.resource || e.Namespace != f.namespace || !f.match(o) {
			continue
		}
		f.from = e.Version
		if _, err := fmt.Fprintf(f.c.stdout, `{"type":%q,"object":%s}`+"\n", e.Type, e.Object); err != nil {
			return err
		}
	}
}
