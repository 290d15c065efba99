"""A playground server of one thread, to measure ours against: for each request it
does the work that the Python package's server did, and nothing more.

create_db runs kubectl twice to look the pod up; if it is not there it creates it and
asks once a second until it is ready. Nobody else is answered meanwhile. A heart beat
is printed and answered at once, in two pieces: flush does not wait for the end.
GET /kubectl tells how often kubectl was run.

Kinder than the original: it stops asking when the pod is ready. Stricter: it wants a
certificate of its clients.

Arguments: port, CA, certificate, key, kubectl, a file with the JSON of a pod for the
user USER."""
import json
import ssl
import subprocess
import sys
import time

from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler

port, ca, certificate, key, kubectl, manifest = sys.argv[1:]
with open(manifest, encoding="utf-8") as file:
    POD = file.read()
PATIENCE = 120  # seconds
runs = 0


def run(*arguments, stdin=""):
    """Gives what kubectl printed, or nothing if it failed."""
    global runs
    runs += 1
    done = subprocess.run([kubectl, *arguments], input=stdin, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def look(user, field):
    return run("get", "pod", "sqlflow-mysql-" + user, "--output=jsonpath={" + field + "}")


def address(user):
    """Looks the pod's address up, or makes the pod and waits for it."""
    phase, ip = look(user, ".status.phase"), look(user, ".status.podIP")
    if phase == "Running" and ip:
        return ip
    if not phase:
        run("create", "--filename=-", stdin=POD.replace("USER", user))
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        said = look(user, '.status.conditions[?(@.type=="Ready")].status}{" "}{.status.podIP')
        ready, _, ip = said.partition(" ")
        if ready == "True" and ip:
            return ip
        time.sleep(1)
    return None


class CreateDB(RequestHandler):
    def post(self):
        ip = address(json.loads(self.request.body)["user_id"])
        if ip is None:
            self.send_error(500)
            return
        self.write({"data_source": "mysql://root:root@tcp(%s:3306)/?maxAllowedPacket=0" % ip})


class HeartBeat(RequestHandler):
    def get(self):
        user = self.get_argument("user_id")
        print("heart beat of", user)
        self.write("hello " + user)
        self.flush()


class Kubectl(RequestHandler):
    def get(self):
        self.write(str(runs))


context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain(certificate, key)
routes = [("/api/create_db", CreateDB), ("/api/heart_beat", HeartBeat), ("/kubectl", Kubectl)]
HTTPServer(Application(routes), ssl_options=context).listen(int(port), "127.0.0.1")
IOLoop.current().start()
