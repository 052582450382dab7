// What .ci/check-webhooks does with standardwebhooks of npm: see there.

const assert = require("node:assert");
const fs = require("node:fs");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const OTHER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const NO_MATCH = "No matching signature found";
const now = Date.now;

/** Null if it verifies by a clock that is so many minutes ahead, or why not. */
function verify(secret, body, headers, minutes = 0) {
    Date.now = () => now() + minutes * 60_000;
    try {
        assert.deepStrictEqual(new Webhook(secret).verify(body, headers), JSON.parse(body));
        return null;
    } catch (error) {
        if (error instanceof WebhookVerificationError) return error.message;
        throw error;
    } finally {
        Date.now = now;
    }
}

const deliveries = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
assert(deliveries.length > 0);
for (const { name, secrets, headers, body } of deliveries) {
    const moved = { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) + 1) };
    const renamed = { ...headers, "webhook-id": headers["webhook-id"] + "0" };
    for (const secret of secrets) {
        for (const [what, expected, found] of [
            ["as it came", null, verify(secret, body, headers)],
            ["four minutes later", null, verify(secret, body, headers, 4)],
            ["a changed body", NO_MATCH, verify(secret, body.replace("run", "rum"), headers)],
            ["a changed timestamp", NO_MATCH, verify(secret, body, moved)],
            ["a changed id", NO_MATCH, verify(secret, body, renamed)],
            ["stale", "Message timestamp too old", verify(secret, body, headers, 6)],
            ["from the future", "Message timestamp too new", verify(secret, body, headers, -6)],
        ]) {
            assert.strictEqual(found, expected, `${name}, ${what}`);
        }
    }
    assert.strictEqual(verify(OTHER, body, headers), NO_MATCH);
    console.log(`npm standardwebhooks, ${name}: verified by ${secrets.length} secret(s)`);
}
