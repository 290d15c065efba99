#!/usr/bin/env python3
"""The workflow sqlflow as one program: 3 steps, called one by one.

Made by sqlflow_playground. SQL is run by the program "step", which must be in PATH.
"""
import ast
import collections
import os
import signal
import subprocess
import sys
import time
import traceback

TIMED_OUT = 124  # the exit code of timeout(1)
GRACE = 5  # seconds that a program has to end when it is asked to
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)  # that end this program
held = None  # the signals that wait; None while none is to

# A step: its function, the variables it sees (None: as this program was
# given it), how many times more it is tried, its bound in seconds (0: none).
Step = collections.namedtuple("Step", "name entry env retries timeout")


class TimedOut(BaseException):
    """The step, or the whole program, took too long; no "except Exception" takes it."""


class Ended(KeyboardInterrupt):
    """A signal ends this program; its number is the argument."""


def encoded(text):
    """The bytes of a text, whatever the locale; undecodable ones come back."""
    return text.encode("utf-8", "surrogateescape")


def run(*argv):
    """Run a program; a failure ends the step with the program's exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    hold()
    try:
        # In a session, and so a process group, of its own: what it starts
        # is in that too.
        child = subprocess.Popen([encoded(word) for word in argv], start_new_session=True)
    except OSError as error:
        release()
        print("cannot run %s: %s" % (argv[0], error.strerror), file=sys.stderr)
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
    try:
        release()
        code = child.wait()
    except BaseException:
        end(child)
        raise
    if code:
        sys.exit(code if code > 0 else 128 - code)


def end(child):
    """End a program and what it has started: asked to first, then by force."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    hold()
    for number in signal.SIGTERM, signal.SIGKILL:
        try:
            os.killpg(child.pid, number)
            child.wait(GRACE)
        except (OSError, subprocess.TimeoutExpired):
            pass  # nobody is left, or it does not end
    release()


def run_sql(sql):
    """Run SQL by the program "step"."""
    run("step", "-e", sql)


def run_python(name, source):
    """Run a function body that cannot stand indented in this file."""
    tree = ast.parse("def step_entry(): pass")
    tree.body[0].body += ast.parse(source, name).body
    space = {"__name__": "__main__"}
    exec(compile(tree, name, "exec"), space)
    space["step_entry"]()


def on_signal(number, _frame):
    """End the step or the program, unless a program is being started or ended."""
    if held is not None:
        held.append(number)
    elif number == signal.SIGALRM:
        raise TimedOut()
    else:
        raise Ended(number)


def hold():
    """Have signals wait."""
    global held
    held = []


def release():
    """Take the signals that have waited."""
    global held
    came, held = held, None
    for number in came:
        on_signal(number, None)


def attempt(step, deadline):
    """Call a step once and give its exit code."""
    bounds = [step.timeout] if step.timeout else []
    if deadline is not None:
        bounds.append(deadline - time.monotonic())
        if bounds[-1] <= 0:
            print("the workflow timed out", file=sys.stderr)
            return TIMED_OUT
    before = dict(os.environb)
    for name, value in step.env.items():
        if value is not None:
            os.environb[encoded(name)] = encoded(value)
    try:
        if bounds:
            signal.signal(signal.SIGALRM, on_signal)
            signal.setitimer(signal.ITIMER_REAL, min(bounds))
        step.entry()
        return 0
    except TimedOut:
        print("step %s timed out" % step.name, file=sys.stderr)
        return TIMED_OUT
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 255
        print(error.code, file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        if bounds:
            signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.flush()
        os.environb.clear()
        os.environb.update(before)


def perform(step, deadline):
    """Call a step as often as it takes and give its last exit code."""
    for again in range(step.retries + 1):
        if again:
            print("step %s: again, %d of %d" % (step.name, again, step.retries), file=sys.stderr)
        code = attempt(step, deadline)
        if code == 0:
            return 0
    print("step %s failed with exit code %d" % (step.name, code), file=sys.stderr)
    return code


def main(steps, on_exit=None, timeout=0):
    """Call the steps one by one until one fails, then the exit step."""
    every = steps + ([on_exit] if on_exit else [])
    missing = {name for step in every for name, value in step.env.items()
               if value is None and name not in os.environ}
    if missing:
        print("set these variables first: %s" % ", ".join(sorted(missing)), file=sys.stderr)
        return 2
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup(1)
            signal.signal(number, on_signal)
    try:
        return call(steps, on_exit, time.monotonic() + timeout if timeout else None)
    except Ended as ended:
        return 128 + ended.args[0]
    except KeyboardInterrupt:
        return 130


def call(steps, on_exit, deadline):
    code = 0
    for number, step in enumerate(steps, 1):
        print("[%d/%d] %s" % (number, len(steps), step.name), file=sys.stderr)
        code = perform(step, deadline)
        if code:
            break
    if on_exit:
        print("[exit] %s" % on_exit.name, file=sys.stderr)
        on_exit.env["SQLFLOW_WORKFLOW_STATUS"] = "Failed" if code else "Succeeded"
        code = perform(on_exit, None) or code
    return code


def step_entry_1():
    """s1-normal, line 2"""
    run_sql(
        "SELECT 1;"
    )


def step_entry_2():
    """s2-python, line 3"""
    print("two")


def step_entry_3():
    """s3-command, line 4"""
    run(
        "true",
    )


STEPS = [
    Step("s1-normal", step_entry_1, {}, 0, 0),
    Step("s2-python", step_entry_2, {}, 0, 0),
    Step("s3-command", step_entry_3, {}, 0, 0),
]

EXIT = None

if __name__ == "__main__":
    sys.exit(main(STEPS, EXIT, timeout=0))
