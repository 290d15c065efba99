// Package client is a Go client of the playground's REST API, over mutual TLS.
//
// [New] takes the address and a certificate, [FromEnv] finds both in the variables
// that the notebook plugin reads, [ReadEnv] reads those from the plugin's file. Every
// method is one route. What the server refuses is an [*Error]; [ErrUnreachable] says
// that there was no answer at all. Creates that the server cannot serve yet are
// repeated as it asks, within [Options.MaxWait].
package client
