package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"sqlflow.org/sqlflow_playground/client"
)

// live is one line of a terminal that changes while something is waited for.
type live struct {
	out   io.Writer
	width func() int

	mu     sync.Mutex
	shown  bool // something stands there
	events bool // it is an event, which says more than an answer to come again
}

// newLive takes the last line of out, or is nil where out is no terminal.
func newLive(out io.Writer) *live {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return &live{out: file, width: func() int {
		width, _, err := term.GetSize(int(file.Fd()))
		if err != nil || width < 2 {
			return 80
		}
		return width
	}}
}

// show replaces the line. What would not fit is cut, for the terminal would begin a
// second line, which could not be replaced. l.mu is held.
func (l *live) show(text string) {
	runes := []rune(printable(text))
	if most := l.width() - 1; len(runes) > most {
		runes = append(runes[:most-1], '…')
	}
	fmt.Fprintf(l.out, "\r\x1b[K%s", string(runes))
	l.shown = true
}

// wait shows that the client waits, unless events tell more.
func (l *live) wait(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.events {
		l.show(text)
	}
}

func (l *live) event(e client.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = true
	l.show(describe(e))
}

// clear leaves the terminal as it was.
func (l *live) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
	l.shown, l.events = false, false
}

func describe(e client.Event) string {
	switch {
	case e.Database.Ahead > 0:
		return fmt.Sprintf("%s (%d ahead)", e.Name, e.Database.Ahead)
	case e.Database.Reason != "":
		return fmt.Sprintf("%s (%s)", e.Name, e.Database.Reason)
	}
	return e.Name
}

const (
	// liveDelay is how long a create may take before its events are asked for: that
	// of a database that is there needs none.
	liveDelay = 300 * time.Millisecond
	// liveAgain is the pause before a stream that ended early is asked for again.
	liveAgain = time.Second
)

// follow shows the events of user's database until the function that it returns is
// called; that also clears the line. A server that does not serve events is asked once.
func (l *live) follow(ctx context.Context, to *client.Client, user string) (stop func()) {
	if l == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause := liveDelay; wait(ctx, pause); pause = liveAgain {
			err := to.Events(ctx, user, func(e client.Event) error {
				// At the very first the server may not have begun, or tell how
				// an earlier creation ended.
				if e.Database.State == "creating" {
					l.event(e)
				}
				return nil
			})
			refused, ok := errors.AsType[*client.Error](err)
			if ok && refused.Status != http.StatusTooManyRequests {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
		l.clear()
	}
}

// wait is false when ctx ends first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
