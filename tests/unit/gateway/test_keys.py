"""API keys: made, listed, revoked, and what is kept of them."""

import pytest
from tests.unit.gateway.rig import KEY, running

from toolyard.clock import SYSTEM
from toolyard.errors import SettingsError, StoreUnavailable
from toolyard_gateway.authentication import seed_first_key
from toolyard_gateway.principals import check_given_key, hash_of, new_key, read_key


async def test_a_new_key_works_and_its_text_is_shown_once(rig):
    made = await rig.client.post("/v1/keys", json={"name": "n8n", "roles": ["caller", "author"]})

    key = made.json()
    assert made.status_code == 201
    assert key["key"].startswith(f"ty_{key['key_id']}_")
    assert (key["org"], key["name"], key["roles"]) == ("default", "n8n", ["author", "caller"])
    assert made.headers["Cache-Control"] == "no-store"
    used = await rig.client.get("/v1/tools", headers={"Authorization": f"Bearer {key['key']}"})
    assert used.status_code == 200
    listed = (await rig.client.get("/v1/keys")).json()["items"]
    assert [item["name"] for item in listed] == ["n8n", "first key"]
    assert all("key" not in item and "secret_hash" not in item for item in listed)


async def test_only_a_hash_of_the_secret_is_kept(rig):
    made = (await rig.client.post("/v1/keys", json={"name": "a", "roles": ["caller"]})).json()

    row = rig.stores.keys.find(made["key_id"])

    secret = made["key"].removeprefix(f"ty_{made['key_id']}_")
    assert row.secret_hash == hash_of(secret)
    assert secret not in repr(row)


async def test_a_revoked_key_is_refused_at_once_where_it_was_revoked(rig):
    headers = await rig.key("caller")
    key_id = headers["Authorization"].split("_")[1]
    assert (await rig.client.get("/v1/tools", headers=headers)).status_code == 200

    revoked = await rig.client.delete(f"/v1/keys/{key_id}")

    assert revoked.status_code == 204
    assert (await rig.client.get("/v1/tools", headers=headers)).status_code == 401
    assert (await rig.client.get("/v1/keys")).json()["items"][0]["revoked_at"]


async def test_a_key_that_is_not_there_cannot_be_revoked(rig):
    response = await rig.client.delete("/v1/keys/nothing")

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_a_key_cannot_revoke_itself(rig):
    response = await rig.client.delete("/v1/keys/admin")

    assert (response.status_code, response.json()["code"]) == (409, "conflict")


async def test_an_admin_of_the_first_org_makes_keys_for_others_and_others_do_not(rig):
    other = await rig.key("admin", org="other")

    own = await rig.client.post("/v1/keys", json={"name": "a", "roles": ["caller"]}, headers=other)
    foreign = await rig.client.post(
        "/v1/keys", json={"name": "a", "roles": ["caller"], "org": "default"}, headers=other
    )

    assert own.json()["org"] == "other"
    assert (foreign.status_code, foreign.json()["code"]) == (403, "permission_denied")
    assert foreign.json()["errors"][0]["path"] == "org"
    assert len((await rig.client.get("/v1/keys", headers=other)).json()["items"]) == 2
    assert (await rig.client.delete("/v1/keys/admin", headers=other)).status_code == 404
    assert len((await rig.client.get("/v1/keys", params={"org": "other"})).json()["items"]) == 2


async def test_a_user_of_the_broker_stands_for_one_key_until_it_is_revoked(rig):
    body = {"name": "orders", "roles": ["caller"], "org": "other", "broker_user": "orders"}

    made = (await rig.client.post("/v1/keys", json=body)).json()
    again = await rig.client.post("/v1/keys", json=body)

    assert made["broker_user"] == "orders"
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert "'orders' stands for another key" in again.json()["detail"]
    assert (await rig.parts.authenticator.of_broker_user("orders")).key_id == made["key_id"]
    await rig.client.delete(f"/v1/keys/{made['key_id']}", params={"org": "other"})
    assert await rig.parts.authenticator.of_broker_user("orders") is None
    renewed = await rig.client.post("/v1/keys", json=body)
    listed = (await rig.client.get("/v1/keys", params={"org": "other"})).json()["items"]
    assert renewed.status_code == 201
    assert [item["broker_user"] for item in listed] == ["orders", "orders"]


async def test_what_a_broker_user_stands_for_holds_while_the_store_is_away(rig):
    body = {"name": "orders", "roles": ["caller"], "broker_user": "orders"}
    made = (await rig.client.post("/v1/keys", json=body)).json()
    known = await rig.parts.authenticator.of_broker_user("orders")
    rig.stores.away()

    assert (await rig.parts.authenticator.of_broker_user("orders")) == known
    assert known.key_id == made["key_id"]
    with pytest.raises(StoreUnavailable):
        await rig.parts.authenticator.of_broker_user("stranger")


async def test_an_org_cannot_take_what_a_user_of_the_broker_publishes(rig):
    other = await rig.key("admin", org="other")

    refused = await rig.client.post(
        "/v1/keys", json={"name": "a", "roles": ["caller"], "broker_user": "orders"}, headers=other
    )

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert refused.json()["errors"][0]["path"] == "broker_user"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"roles": ["caller"]}, "name"),
        ({"name": "", "roles": ["caller"]}, "name"),
        ({"name": "a"}, "roles"),
        ({"name": "a", "roles": []}, "roles"),
        ({"name": "a", "roles": ["king"]}, "roles.0"),
        ({"name": "a", "roles": "caller"}, "roles"),
        ({"name": "a", "roles": ["caller"], "org": "Not.Good"}, "org"),
        ({"name": "a", "roles": ["caller"], "broker_user": ""}, "broker_user"),
        ({"name": "a", "roles": ["caller"], "colour": 1}, "colour"),
    ],
)
async def test_a_wrong_key_is_named(rig, body, path):
    response = await rig.client.post("/v1/keys", json=body)

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == path


async def test_the_same_key_makes_a_key_once(rig):
    body, headers = {"name": "a", "roles": ["caller"]}, {"Idempotency-Key": "k"}

    first = await rig.client.post("/v1/keys", json=body, headers=headers)
    again = await rig.client.post("/v1/keys", json=body, headers=headers)
    rig.parts.replays._answers.clear()  # what this gateway remembers, another one does not
    elsewhere = await rig.client.post("/v1/keys", json=body, headers=headers)

    assert again.json() == first.json()
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (409, "conflict")
    assert elsewhere.json()["key_id"] == first.json()["key_id"]


# ---- the first key ------------------------------------------------------------------------------


async def test_the_first_key_is_made_where_there_is_none_only(template, tmp_path):
    (tmp_path / "a").mkdir()
    async with running(template, tmp_path / "a") as rig:
        kept = rig.stores.keys.find("admin")
        assert (kept.org, kept.roles) == ("default", {"admin"})
    (tmp_path / "b").mkdir()

    async with running(tmp_path / "a" / "store.db", tmp_path / "b", first_key="ty_second_" + "s" * 32) as rig:
        assert rig.stores.keys.find("second") is None
        assert (await rig.client.get("/v1/tools", headers={"Authorization": f"Bearer {KEY}"})).status_code == 200


async def test_two_gateways_that_make_the_first_key_at_once_agree(template, tmp_path):
    async with running(template, tmp_path) as rig:
        rig.stores.keys.any = lambda: False  # as the other one saw it a moment ago

        made = await seed_first_key(rig.parts.store, KEY, SYSTEM)

        assert made is False


async def test_a_first_key_of_any_form_works(template, tmp_path):
    async with running(template, tmp_path, first_key="correct horse battery staple") as rig:
        headers = {"Authorization": "Bearer correct horse battery staple"}

        assert (await rig.client.get("/v1/tools", headers=headers)).status_code == 200
        assert "horse" not in (await rig.client.get("/v1/keys", headers=headers)).text


def test_a_first_key_that_could_be_guessed_is_refused_and_not_shown():
    with pytest.raises(SettingsError, match="at least 16") as refused:
        check_given_key("letmein")

    assert "letmein" not in str(refused.value)


def test_a_key_is_found_by_its_id_and_known_by_its_hash():
    text, kept = new_key()

    assert read_key(text) == kept
    assert read_key(text + "x") != kept
