// Package handlers is the gateway's REST API: HTTP in front of package playground.
//
// The table in [API.routes] is the whole of it, one file per route. Every request
// goes through one exchange (exchange.go): is the connection's certificate still
// good, may its holder use this route, answer, and one line in the log. Every
// refusal is written in one place (errors.go), from one table of codes.
//
// The package trusts the TLS layer for one thing only: that the client's chain was
// verified. Serve it behind package tlsserver, and give [API.ConnContext] to the
// http.Server, so that a certificate is read once per connection.
package handlers
