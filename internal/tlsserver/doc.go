// Package tlsserver is the gateway's front door: a listener that lets in clients
// with a certificate of our authority and nobody else, and keeps to that while
// certificates change.
//
// [New] reads the authority, the server's certificate and key, and the revocation
// list, and refuses to start with files that do not fit together. [Server.Watch]
// reads them again when they change; files that do not fit leave the last good set
// in force. What expires while it is in force is logged, and [Server.Status] tells of
// it. [Server.Listen] shakes hands and hands out connections that http.Server can use
// at once, HTTP/2 included. A refused handshake is held for a while before the client
// hears of it, because the notebook plugin tries again without a pause (pysqlflow's
// sqlflow/magic.py). [Server.Check] repeats the checks on a connection that is already
// open.
package tlsserver
