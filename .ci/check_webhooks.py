"""What .ci/check-webhooks does with standardwebhooks of PyPI: see there."""

import datetime
import json
import sys
import unittest.mock

from standardwebhooks import webhooks

OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def clock(minutes):
    """A clock that is so many minutes ahead, for the library."""

    class Ahead(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.now(tz) + datetime.timedelta(minutes=minutes)

    return unittest.mock.patch.object(webhooks, "datetime", Ahead)


def verify(secret, body, headers, minutes=0):
    """None if it verifies, or why not."""
    try:
        with clock(minutes):
            assert webhooks.Webhook(secret).verify(body, headers) == json.loads(body)
        return None
    except webhooks.WebhookVerificationError as error:
        return str(error)


def check(delivery):
    body, headers = delivery["body"], delivery["headers"]
    moved = headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}
    renamed = headers | {"webhook-id": headers["webhook-id"] + "0"}
    for secret in delivery["secrets"]:
        for what, expected, found in [
            ("as it came", None, verify(secret, body, headers)),
            ("four minutes later", None, verify(secret, body, headers, minutes=4)),
            ("a changed body", "No matching signature found", verify(secret, body.replace("run", "rum", 1), headers)),
            ("a changed timestamp", "No matching signature found", verify(secret, body, moved)),
            ("a changed id", "No matching signature found", verify(secret, body, renamed)),
            ("stale", "Message timestamp too old", verify(secret, body, headers, minutes=6)),
            ("from the future", "Message timestamp too new", verify(secret, body, headers, minutes=-6)),
        ]:
            assert found == expected, (delivery["name"], what, found)
    assert verify(OTHER, body, headers) == "No matching signature found"
    assert len(headers["webhook-signature"].split(" ")) == len(delivery["secrets"])


def main():
    deliveries = json.load(open(sys.argv[1], encoding="utf-8"))
    for delivery in deliveries:
        check(delivery)
        print(f"PyPI standardwebhooks, {delivery['name']}: verified by {len(delivery['secrets'])} secret(s)")
    first, second = deliveries[:2]
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"] and first["body"] == second["body"]
    assert first["headers"]["webhook-signature"] != second["headers"]["webhook-signature"]


main()
