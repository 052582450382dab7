#!/usr/bin/env python3
"""A client of Testrun for trials with several machines: sends runs and writes down what was acknowledged and when, receives
webhooks, follows events, and checks afterwards that nothing is missing. Needs Python 3.9 and nothing else."""

import argparse
import asyncio
import http.client
import json
import sys
import threading
import time
import urllib.parse
import uuid
from concurrent.futures import ThreadPoolExecutor

STEPS = [{"step_number": number, "action": "click", "status": "passed"} for number in (1, 2)]


class Client:
    """Speaks to any of several servers. What gets no answer is sent again, with the same Idempotency-Key, to the next one."""

    def __init__(self, urls, token, patience=180.0):
        self.urls, self.token, self.patience = urls, token, patience
        self.turn = 0

    def send(self, method, path, body=None):
        """The answer, and when the request was sent first and when it was acknowledged."""
        key, sent = str(uuid.uuid4()), time.time()
        while True:
            url = self.urls[self.turn % len(self.urls)]
            try:
                status, answer = self.attempt(url, method, path, body, key)
                if status < 400:
                    return answer, sent, time.time()
                # 409 is also the answer to a key whose first request is still in flight; if it is final, time will tell.
                final = status not in (409, 429) and status < 500
                problem = f"{status} {answer}"
            except (OSError, http.client.HTTPException) as error:
                final, problem = False, repr(error)
                self.turn += 1
            if final or time.time() - sent > self.patience:
                raise RuntimeError(f"{method} {url}{path}: {problem}")
            time.sleep(0.1)

    def attempt(self, url, method, path, body, key):
        address = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = key
        try:
            connection.request(method, "/api/v1" + path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
            return response.status, json.loads(text) if text else None
        finally:
            connection.close()


def runs(options):
    """Sends runs until there are so many or the time is over, and writes every acknowledged one with its results."""
    out, lock = open(options.out, "a", buffering=1), threading.Lock()
    first = Client(options.urls, options.token)
    names = [f"Case {number}" for number in range(options.tests)]
    cases = [{"name": name, "external_key": name} for name in names]
    ids = [case["id"] for case in first.send("POST", "/test-cases/bulk", {"test_cases": cases})[0]["items"]]
    end = time.time() + options.seconds if options.seconds else None

    def record(**what):
        with lock:
            out.write(json.dumps(what) + "\n")

    def one(number):
        if end and time.time() > end:
            return 0
        client = Client(options.urls, options.token)
        client.turn = number
        run, sent, acked = client.send("POST", "/test-runs", {"run_name": f"{options.name} {number}"})
        record(what="run", run=run["id"], sent=sent, acked=acked)
        _, sent, acked = client.send("POST", f"/test-runs/{run['id']}/items/bulk", {"test_case_ids": ids})
        record(what="items", run=run["id"], count=len(ids), sent=sent, acked=acked)
        client.send("POST", f"/test-runs/{run['id']}/start", {})
        items = client.send("GET", f"/test-runs/{run['id']}/items?limit=100")[0]["items"]
        for item in items:
            result = {"test_run_id": run["id"], "test_run_item_id": item["id"], "test_case_id": item["test_case_id"],
                      "status": "passed", "steps": STEPS}
            stored, sent, acked = client.send("POST", "/test-run-results", result)
            record(what="result", run=run["id"], result=stored["id"], sent=sent, acked=acked)
        return 1

    with ThreadPoolExecutor(options.parallel) as pool:
        done = sum(pool.map(one, range(options.runs)))
    print(f"{done} runs of {options.tests} tests acknowledged")


def check(options):
    """Asks for everything that was acknowledged before --before: it must be there, whole, and counted."""
    client = Client(options.urls, options.token)
    lines = [json.loads(line) for name in options.logs for line in open(name)]
    before = options.before or float("inf")
    acked = {what: {} for what in ("run", "items", "result")}
    sent_later = set()
    for line in lines:
        identity = line["result"] if line["what"] == "result" else line["run"]
        if line["acked"] < before:
            acked[line["what"]][identity] = line
        elif line["sent"] > before:
            sent_later.add((line["what"], identity))
    there = {}
    for run in acked["run"]:
        there[run] = client.send("GET", f"/test-runs/{run}")[0]
    for run, line in acked["items"].items():
        total = client.send("GET", f"/test-runs/{run}/items?limit=1")[0]["total"]
        assert total == line["count"], f"run {run} has {total} of its {line['count']} items"
    results = {}
    for identity, line in acked["result"].items():
        stored = client.send("GET", f"/test-run-results/{identity}")[0]
        assert stored["test_run_id"] == line["run"], identity
        steps = client.send("GET", f"/test-run-results/{identity}/steps?limit=100")[0]["total"]
        assert steps == len(STEPS), f"result {identity} is half: {steps} steps"
        results[line["run"]] = results.get(line["run"], 0) + 1
    for what, identity in sent_later:
        path = "/test-run-results/" if what == "result" else "/test-runs/"
        if what != "items":
            status, _ = client.attempt(options.urls[0], "GET", path + identity, None, "")
            assert status == 404, f"{what} {identity} was sent after the point and is there: {status}"
    completed = 0
    for run in acked["items"]:
        count = acked["items"][run]["count"]
        if results.get(run, 0) == count:
            deadline = time.time() + 180
            while True:
                stored = client.send("GET", f"/test-runs/{run}")[0]
                if stored["status"] == "completed":
                    break
                assert time.time() < deadline, f"run {run} with all of its results is {stored['status']}"
                time.sleep(0.2)
            counted = (stored["total_tests"], stored["passed_tests"], stored["failed_tests"])
            assert counted == (count, count, 0), f"run {run}: {counted}"
            completed += 1
    print(f"{len(there)} runs, {len(acked['items'])} times items and {len(acked['result'])} results with their steps are there; "
          f"{completed} runs have all their results, are completed and counted right; "
          f"{len(sent_later)} later ones are not there")


def receive(options):
    """Receives webhooks, takes --delay ms for each, and writes their ids down."""
    out = open(options.out, "a", buffering=1)

    async def answer(reader, writer):
        try:
            headers, length = {}, 0
            await reader.readline()
            while (line := await reader.readline()).strip():
                name, _, value = line.decode().partition(":")
                headers[name.strip().lower()] = value.strip()
            length = int(headers.get("content-length", 0))
            await reader.readexactly(length)
            await asyncio.sleep(options.delay / 1000)
            out.write(json.dumps({"id": headers.get("webhook-id"), "at": time.time()}) + "\n")
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def serve():
        host, port = options.listen.rsplit(":", 1)
        server = await asyncio.start_server(answer, host, int(port), backlog=1000)
        async with server:
            await server.serve_forever()

    asyncio.run(serve())


def follow(options):
    """Prints the first events of a stream, each as its type and id, after the event --after."""
    address = urllib.parse.urlsplit(options.urls[0])
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=options.seconds)
    headers = {"Authorization": f"Bearer {options.token}"}
    if options.after:
        headers["Last-Event-ID"] = options.after
    connection.request("GET", "/api/v1/events", headers=headers)
    response = connection.getresponse()
    seen, event, identity = 0, "", ""
    try:
        while seen < options.count:
            line = response.readline().decode().strip()
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("id:"):
                identity = line[3:].strip()
            elif not line and event:
                print(event, identity)
                event, identity, seen = "", "", seen + 1
    except TimeoutError:
        sys.exit(f"only {seen} of {options.count} events came")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name, function, *, server=True):
        sub = commands.add_parser(name, help=function.__doc__)
        sub.set_defaults(function=function)
        if server:
            sub.add_argument("--urls", required=True, type=lambda text: text.split(","))
            sub.add_argument("--token", required=True)
        return sub

    sub = command("runs", runs)
    sub.add_argument("--runs", type=int, default=1_000_000)
    sub.add_argument("--seconds", type=float)
    sub.add_argument("--tests", type=int, default=5)
    sub.add_argument("--parallel", type=int, default=4)
    sub.add_argument("--name", default="Run")
    sub.add_argument("--out", required=True)
    sub = command("check", check)
    sub.add_argument("--before", type=float, help="seconds since 1970")
    sub.add_argument("logs", nargs="+")
    sub = command("receive", receive, server=False)
    sub.add_argument("--listen", required=True)
    sub.add_argument("--delay", type=float, default=0)
    sub.add_argument("--out", required=True)
    sub = command("follow", follow)
    sub.add_argument("--after")
    sub.add_argument("--count", type=int, default=1)
    sub.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
