"""Calls a playground server as SQLFlow's notebook plugin does: tornado's blocking
client, no content type, no time-out of its own, the user id unescaped in the URL.

Arguments: URL, CA, certificate, key, user id, "strict" or "default"."""
import json
import ssl
import sys

from tornado.httpclient import HTTPClient, HTTPRequest

url, ca, certificate, key, user, checks = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca)
context.load_cert_chain(certificate, key)
if checks == "strict":
    context.verify_flags |= ssl.VERIFY_X509_STRICT
client = HTTPClient()
answer = client.fetch(HTTPRequest(
    url + "/api/create_db", method="POST", body=json.dumps({"user_id": user}), ssl_options=context))
print(json.loads(answer.body)["data_source"])
beat = client.fetch(HTTPRequest(url + "/api/heart_beat?user_id=" + user, ssl_options=context))
print(beat.body.decode())
