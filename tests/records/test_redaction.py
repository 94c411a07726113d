"""What is never written down, and what has to stay readable."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.redaction.payload import MAX_CHARS, to_json
from agent.redaction.secrets import REDACTED, is_sensitive_key, redact, redact_text


def joined(*parts: str) -> str:
    """Credentials are put together here, so that no scanner takes this file for a leak."""
    return "".join(parts)


SECRETS = [
    joined("dapi", "0123456789abcdef" * 2),
    joined("sk-", "proj-", "a1B2" * 8),
    joined("ghp_", "a1B2" * 9),
    joined("AKIA", "ABCDEFGHIJKLMNOP"),
    joined("eyJ", "hbGciOiJIUzI1", ".", "eyJzdWIiOiIxMjM0", ".", "c2lnbmF0dXJl"),
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:4])
def test_a_credential_is_replaced_wherever_it_stands(secret: str) -> None:
    for text in (secret, f"use {secret}, please", f"token={secret}", f'{{"key": "{secret}"}}'):
        assert secret not in redact_text(text)
        assert secret not in json.dumps(redact({"messages": [{"content": text}]}))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {REDACTED}"),
        ("postgres://ann:hunter2@db/x", f"postgres://{REDACTED}@db/x"),
        ("password='hunter2'", f"password='{REDACTED}'"),
        ('{"client_secret": "hunter2"}', f'{{"client_secret": "{REDACTED}"}}'),
        ("user=ann&token=hunter22&x=1", f"user=ann&token={REDACTED}&x=1"),
        ("api_key: 'hunter2'", f"api_key: '{REDACTED}'"),
    ],
)
def test_texts_lose_only_their_secrets(text: str, safe: str) -> None:
    assert redact_text(text) == safe


@pytest.mark.parametrize(
    "text",
    [
        "max_tokens=1000 and input_tokens=20",
        "token = get_token(path)",
        "df['key'] = df['a'] + df['b']",
        "SELECT key, token_count FROM usage WHERE secret_level > 2",
        "https://example.com/a:b/c",
        "the bearer of this letter, basic arithmetic, a desk-bound task",
        "Failed password for root from 10.0.0.1 port 22 ssh2",
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "key", ["token", "access_token", "apiKey", "API-KEY", "DB_PASSWORD", "Authorization", "privateKey"]
)
def test_keys_that_name_secrets(key: str) -> None:
    assert is_sensitive_key(key)
    assert redact({"outer": [{key: "x", "n": 1}]}) == {"outer": [{key: REDACTED, "n": 1}]}


@pytest.mark.parametrize(
    "key", ["input_tokens", "token_count", "tokens", "key", "keyword", "passwords_tried", "author"]
)
def test_keys_that_do_not(key: str) -> None:
    assert redact({key: 12}) == {key: 12}


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_like)
def test_any_payload_becomes_bounded_valid_json(value: object) -> None:
    text = to_json({"payload": value}, 2_000)
    assert json.loads(text)
    assert len(text) <= 2_600


@given(st.text(alphabet="skdapi-_=:/.@ 'secretoknpw\n", max_size=400))
def test_redacting_what_was_redacted_settles(text: str) -> None:
    twice = redact_text(redact_text(text))
    assert redact_text(twice) == twice


@pytest.mark.parametrize(
    "text", ["key=" * 50_000, "://a:" * 50_000, "sk-" * 50_000, "secret" * 30_000, "token='" * 30_000]
)
def test_no_text_makes_redaction_slow(text: str) -> None:
    began = time.process_time()
    redact_text(text)
    assert time.process_time() - began < 2


def test_a_long_text_says_how_much_is_missing() -> None:
    text = json.loads(to_json({"page": "x" * 100_000}))["page"]
    assert text.endswith(f"... ({100_000 - MAX_CHARS // 2} characters omitted)")
