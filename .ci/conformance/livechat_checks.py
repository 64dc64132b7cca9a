"""What LiveChat's own SDK gets from the simulator of its APIs, and what it reads and does during a whole handoff.

The SDK (lc-sdk-python) has no client for the accounts service, so customer tokens are fetched with plain httpx. It has
no webhook classes for event_deleted and thread_summary_set, and calls auto_accesses_updated by other names. Not driven:
the RTM and reports clients; bots, greetings, batches and the other configuration actions that the simulator leaves out;
follow_chat, multicast and indicators, which leave nothing behind; what only a fault script or the simulator's owner
causes (rate limits, another home region, a withdrawn agent token, queues, edited events, the router closing a chat).
"""

import json
import os
import queue
import sys
import threading
import time
import traceback
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from livechat.agent import AgentWeb
from livechat.configuration import ConfigurationApi
from livechat.customer import CustomerWeb
from livechat.utils.structures import AccessToken, TokenType
from livechat.webhooks.parser import parse_webhook

STACK = json.loads(os.environ["SANDBOX"])
LIVECHAT = STACK["livechat"]
OWNER = LIVECHAT["agent_token_owner"]
SECRET = "conformance-secret"
# What the SDK has a class for, and this script can bring about.
ACTIONS = [
    "incoming_chat",
    "chat_deactivated",
    "chat_access_updated",
    "chat_transferred",
    "user_added_to_chat",
    "user_removed_from_chat",
    "incoming_event",
    "incoming_rich_message_postback",
    "chat_properties_updated",
    "chat_properties_deleted",
    "thread_properties_updated",
    "thread_properties_deleted",
    "event_properties_updated",
    "event_properties_deleted",
    "thread_tagged",
    "thread_untagged",
    "routing_status_set",
    "customer_session_fields_updated",
    "events_marked_as_seen",
]

results = []


def check(test):
    """Runs the test at once and says how it ended; its name, or docstring, is what it says."""
    what = test.__doc__ or test.__name__.replace("_", " ")
    try:
        test()
    except Exception:
        print(f"FAILED  {what}\n{traceback.format_exc()}")
        results.append(False)
    else:
        print(f"ok      {what}")
        results.append(True)


def equal(left, right):
    if left != right:
        raise AssertionError(f"{left!r} is not {right!r}")


def good(response):
    """The body of a good answer."""
    equal((response.status_code, response.headers["content-type"]), (200, "application/json"))
    return response.json()


def refused(response, error_type, contains=""):
    """A refusal in the vendor's form; the SDK hands it over as it came."""
    error = response.json().get("error", {})
    equal((response.is_error, error.get("type")), (True, error_type))
    if not error.get("message") or contains not in error["message"]:
        raise AssertionError(f"{error!r} says nothing of {contains!r}")


def only(items, fits):
    """The one item that fits."""
    found = [item for item in items if fits(item)]
    equal(len(found), 1)
    return found[0]


def eventually(what, probe):
    deadline = time.monotonic() + 20
    while not (found := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what}")
        people("POST", "/sweep")
        time.sleep(0.1)
    return found


def people(method, path, body=None):
    """What the user, the bot and the schedule do."""
    response = httpx.request(method, STACK["people"] + path, json=body, timeout=30)
    if response.status_code != 200:
        raise AssertionError(f"{method} {path}: {response.text}")
    return response.json()


def plain(client):
    """The SDK insists on https; the simulator speaks http. The rest of each request stays the SDK's."""
    client.api_url = client.api_url.replace("https://", "http://", 1)
    return client


HOST = LIVECHAT["url"].removeprefix("http://")
COMMON = {"version": "3.6", "base_url": HOST, "disable_logging": True}


def customer_client(token):
    access = f"Bearer {token}"
    organization_id = LIVECHAT["organization_id"]
    return plain(CustomerWeb.get_client(access_token=access, organization_id=organization_id, **COMMON))


def grant(cookies=None, **changes):
    """A customer token by the cookie grant; `cookies` make it one for the same customer."""
    body = {
        "grant_type": "cookie",
        "client_id": LIVECHAT["client_id"],
        "organization_id": LIVECHAT["organization_id"],
        "redirect_uri": LIVECHAT["redirect_uri"],
    }
    headers = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
    return httpx.post(f"{LIVECHAT['url']}/v2/customer/token", json=body | changes, headers=headers)


def cookies_of(response):
    jar = SimpleCookie()
    for header in response.headers.get_list("set-cookie"):
        jar.load(header)
    return jar


class Receiver(BaseHTTPRequestHandler):
    """Takes webhooks."""

    deliveries = queue.Queue()

    def do_POST(self):
        self.deliveries.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments):
        pass


webhooks = []


def delivered(action, fits=lambda _payload: True):
    """The first webhook of the kind, parsed by the SDK into its own class; waits for it."""
    deadline = time.monotonic() + 10
    while True:
        for webhook in webhooks:
            if webhook.action == action and fits(webhook.payload):
                return webhook.payload
        try:
            webhooks.append(parse(Receiver.deliveries.get(timeout=max(0.01, deadline - time.monotonic()))))
        except queue.Empty:
            raise AssertionError(f"no {action} came that fits") from None


def parse(body):
    # The SDK insists on a requester, who by the vendor's own description is there only when an agent asked for it.
    if body["action"] in ("user_added_to_chat", "user_removed_from_chat"):
        body["payload"].setdefault("requester_id", None)
    webhook = parse_webhook(body, version="3.6")
    equal((webhook.secret_key, webhook.organization_id), (SECRET, LIVECHAT["organization_id"]))
    return webhook


receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()
RECEIVER_URL = f"http://127.0.0.1:{receiver.server_port}/"

agent_token = AccessToken(scheme=TokenType.BASIC, token=LIVECHAT["agent_token"])
agent = plain(AgentWeb.get_client(access_token=agent_token, **COMMON))
configuration = plain(ConfigurationApi.get_client(token=agent_token, **COMMON))
first_grant = grant()
CUSTOMER = first_grant.json()["entity_id"]
customer = customer_client(first_grant.json()["access_token"])
stranger = customer_client(grant().json()["access_token"])

# Configuration


@check
def configuration_lists_groups_and_agents():
    groups = good(configuration.list_groups(fields=["agent_priorities", "routing_status"]))
    support = only(groups, lambda group: group["id"] == 1)
    equal((support["name"], support["routing_status"]), ("Support", "accepting_chats"))
    equal(support["agent_priorities"]["anna@example.com"], "normal")
    equal(good(configuration.get_group(id=1))["name"], "Support")
    agents = good(configuration.list_agents(fields=["groups", "suspended"]))
    anna = only(agents, lambda one: one["id"] == "anna@example.com")
    equal((anna["name"], anna["suspended"]), ("Anna", False))
    only(anna["groups"], lambda group: group["id"] == 1)
    only(good(configuration.list_agents(filters={"group_ids": [2]})), lambda one: one["id"] == "ben@example.com")
    equal(good(configuration.get_agent(id=OWNER))["role"], "administrator")


@check
def webhooks_are_registered_listed_and_unregistered():
    owner = LIVECHAT["client_id"]
    for action in ACTIONS:
        extras = ["chat_properties", "chat_presence_user_ids"] if action == "incoming_event" else None
        registered = configuration.register_webhook(
            action=action,
            secret_key=SECRET,
            url=RECEIVER_URL,
            owner_client_id=owner,
            type="license",
            additional_data=extras,
            description="conformance",
        )
        if not good(registered)["id"]:
            raise AssertionError("no id")
    ours = [one for one in good(configuration.list_webhooks(owner_client_id=owner)) if one["url"] == RECEIVER_URL]
    equal(sorted(one["action"] for one in ours), sorted(ACTIONS))
    described = {(one["type"], one["description"], one["owner_client_id"]) for one in ours}
    equal(described, {("license", "conformance", owner)})
    equal([one for one in ours if "secret_key" in one], [])

    spare = {"secret_key": "x", "url": RECEIVER_URL, "owner_client_id": owner, "type": "license"}
    spare["action"] = "agent_created"
    spare_ids = [good(configuration.register_webhook(**spare))["id"] for _ in range(3)]
    refused(configuration.register_webhook(**spare), "limit_reached")
    for spare_id in spare_ids:
        equal(good(configuration.unregister_webhook(id=spare_id, owner_client_id=owner)), {})
    refused(configuration.unregister_webhook(id=spare_ids[0], owner_client_id=owner), "not_found")


@check
def malformed_registrations_are_refused():
    right = {
        "action": "incoming_event",
        "secret_key": "x",
        "url": RECEIVER_URL,
        "owner_client_id": LIVECHAT["client_id"],
        "type": "license",
    }
    for wrong in (
        {"action": "chat_happened"},
        {"action": None},
        {"url": "not a URL"},
        {"type": "gold"},
        {"owner_client_id": None},
        {"filters": {"agent_ids": ["anna@example.com"]}},
        {"additional_data": ["mood"]},
    ):
        refused(configuration.register_webhook(**(right | wrong)), "validation")


@check
def license_webhooks_are_disabled_and_enabled_and_named():
    owner = {"owner_client_id": LIVECHAT["client_id"]}

    def state():
        return good(configuration.get_license_webhooks_state(**owner))["license_webhooks_enabled"]

    equal(good(configuration.disable_license_webhooks(**owner)), {})
    equal(state(), False)
    equal(good(configuration.enable_license_webhooks(**owner)), {})
    equal(state(), True)
    names = good(configuration.list_webhook_names(version="3.6"))
    incoming = only(names, lambda name: name["action"] == "incoming_event")
    equal("author_type" in incoming["filters"], True)
    equal(set(ACTIONS) - {name["action"] for name in names}, set())


# The customer


@check
def a_token_is_for_the_same_customer_when_its_cookies_are_replayed():
    equal(first_grant.status_code, 200)
    body = first_grant.json()
    equal(body["token_type"], "Bearer")
    equal((body["organization_id"], body["client_id"]), (LIVECHAT["organization_id"], LIVECHAT["client_id"]))
    equal(body["expires_in"], 8 * 3600)
    jar = cookies_of(first_grant)
    equal(jar["__lc_cid"].value, CUSTOMER)
    equal((jar["__lc_cst"]["httponly"], jar["__lc_cst"]["path"]), (True, "/v2/customer"))
    values = {name: morsel.value for name, morsel in jar.items()}
    renewed = grant(values).json()
    equal(renewed["entity_id"], CUSTOMER)
    equal(renewed["access_token"] == body["access_token"], False)
    equal(good(customer_client(renewed["access_token"]).get_customer())["id"], CUSTOMER)
    equal(grant(values | {"__lc_cst": "wrong"}).json()["entity_id"] == CUSTOMER, False)


@check
def a_token_expires_and_wrong_grants_are_refused():
    short = customer_client(grant(expires_in=1).json()["access_token"])
    eventually("the expiry", lambda: short.get_customer().status_code != 200)
    refused(short.get_customer(), "authentication")
    refused(customer_client("dal:nonsense").list_chats(), "authentication")
    for wrong, code in (
        ({"client_id": "other"}, "unauthorized_client"),
        ({"redirect_uri": "https://evil.example"}, "unauthorized_client"),
        ({"organization_id": "other"}, "access_denied"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ):
        answer = grant(**wrong)
        equal((answer.is_error, answer.json()["oauth_exception"]), (True, code))


@check
def a_customer_introduces_themselves():
    fields = [{"order": "1234"}]
    equal(good(customer.update_customer(name="Ann", email="ann@example.com", session_fields=fields)), {})
    me = good(customer.get_customer())
    equal((me["type"], me["name"], me["email"], me["session_fields"]), ("customer", "Ann", "ann@example.com", fields))
    refused(customer.update_customer(email="no address"), "validation", "email")
    refused(customer.update_customer(), "validation")


@check
def group_statuses_and_timers_are_listed():
    statuses = good(customer.list_group_statuses(all=True))["groups_status"]
    equal(statuses, {"0": "online", "1": "online", "2": "offline"})
    equal(good(customer.list_group_statuses(group_ids=[1]))["groups_status"], {"1": "online"})
    refused(customer.list_group_statuses(), "validation")
    timers = good(customer.list_license_properties(namespace="chats"))["chats"]
    equal(timers["archive_chat_after_min"], 30)
    equal(good(customer.list_group_properties(group_id=1)), {})
    equal(good(configuration.list_license_properties(namespace="chats"))["chats"], timers)


CHAT = {}


@check
def a_customer_starts_one_chat_and_no_second():
    refused(stranger.start_chat(chat={"access": {"group_ids": [2]}}), "groups_offline")
    hello = {"type": "message", "text": "hello", "custom_id": "c-1"}
    opening = {"access": {"group_ids": [1]}, "thread": {"events": [hello]}}
    started = good(customer.start_chat(chat=opening, active=True, continuous=False))
    equal(set(started), {"chat_id", "thread_id", "event_ids"})
    CHAT.update(started)
    equal(started["event_ids"], [f"{started['thread_id']}_1"])
    refused(customer.start_chat(chat=opening), "validation", "already")
    refused(customer.resume_chat(chat={"id": started["chat_id"]}), "validation", "active")

    chat = delivered("incoming_chat").chat
    equal((chat["id"], chat["thread"]["id"]), (started["chat_id"], started["thread_id"]))
    equal((chat["access"]["group_ids"], chat["thread"]["active"]), ([1], True))
    ann = only(chat["users"], lambda user: user["type"] == "customer")
    equal((ann["id"], ann["name"], ann["present"]), (CUSTOMER, "Ann", True))
    first = chat["thread"]["events"][0]
    equal((first["text"], first["author_id"], first["custom_id"]), ("hello", CUSTOMER, "c-1"))
    moved = delivered("chat_transferred", lambda moved: moved.reason == "assigned")
    equal((moved.chat_id, moved.thread_id), (started["chat_id"], started["thread_id"]))
    equal((moved.transferred_to["agent_ids"], moved.requester_id), (["anna@example.com"], None))
    added = delivered("user_added_to_chat")
    equal((added.user_type, added.user["name"], added.user["email"]), ("agent", "Anna", "anna@example.com"))


@check
def a_customer_sends_messages_and_files():
    chat_id = CHAT["chat_id"]
    message = {"type": "message", "text": "a question", "custom_id": "c-2"}
    sent = good(customer.send_event(chat_id=chat_id, event=message))
    event = delivered("incoming_event", lambda incoming: incoming.event.get("custom_id") == "c-2").event
    equal((event["id"], event["type"], event["text"]), (sent["event_id"], "message", "a question"))
    equal((event["author_id"], event["visibility"]), (CUSTOMER, "all"))

    picture = ("cat.png", b"\x89PNG picture", "image/png")
    url = good(customer.upload_file(file={"file": picture}))["url"]
    good(customer.send_event(chat_id=chat_id, event={"type": "file", "url": url, "custom_id": "c-3"}))
    event = delivered("incoming_event", lambda incoming: incoming.event.get("custom_id") == "c-3").event
    equal((event["name"], event["content_type"], event["url"]), ("cat.png", "image/png", url))
    equal(httpx.get(url).content, picture[1])
    incoming = [one for one in webhooks if one.action == "incoming_event"]
    additional = only(incoming, lambda one: one.payload.event == event).additional_data
    equal(set(additional["chat_presence_user_ids"]), {CUSTOMER, "anna@example.com"})

    refused(customer.send_event(chat_id=chat_id, event={"type": "message"}), "validation", "text")
    refused(customer.send_event(chat_id=chat_id, event={"type": "message", "text": "x" * 16_385}), "validation")
    elsewhere = {"type": "file", "url": "https://example.com/x.png"}
    refused(customer.send_event(chat_id=chat_id, event=elsewhere), "validation", "url")
    refused(customer.upload_file(file={"file": ("run.exe", b"MZ", "application/octet-stream")}), "validation")
    refused(customer.upload_file(file={"file": ("big.bin", bytes(10 * 1024 * 1024 + 1))}), "entity_too_large")
    refused(stranger.send_event(chat_id=chat_id, event=message), "authorization")


@check
def a_customer_reads_their_chat():
    chats = good(customer.list_chats(limit=5, sort_order="desc"))
    equal(chats["total_chats"], 1)
    summary = chats["chats_summary"][0]
    equal((summary["id"], summary["last_thread_id"], summary["active"]), (CHAT["chat_id"], CHAT["thread_id"], True))
    equal(summary["last_event_per_type"]["file"]["event"]["custom_id"], "c-3")
    chat = good(customer.get_chat(chat_id=CHAT["chat_id"], thread_id=CHAT["thread_id"]))
    texts = [event.get("text") for event in chat["thread"]["events"] if event["type"] == "message"]
    equal(texts, ["hello", "a question"])
    anna = only(chat["users"], lambda user: user["type"] == "agent")
    equal((anna["name"], "@" in anna["id"], "email" in anna), ("Anna", False, False))
    threads = good(customer.list_threads(chat_id=CHAT["chat_id"], min_events_count=1))
    equal((threads["found_threads"], threads["threads"][0]["id"]), (1, CHAT["thread_id"]))
    refused(customer.get_chat(), "validation", "chat_id")
    refused(stranger.get_chat(chat_id=CHAT["chat_id"]), "authorization")
    equal(good(stranger.list_chats())["chats_summary"], [])


# The agent


@check
def an_agent_must_be_in_the_chat_to_write():
    chat_id = CHAT["chat_id"]
    note = {"type": "message", "text": "for colleagues", "visibility": "agents"}
    refused(agent.send_event(chat_id=chat_id, event=note), "authorization", "not user of the chat")
    joining = {"chat_id": chat_id, "user_id": OWNER, "user_type": "agent", "ignore_requester_presence": True}
    refused(agent.add_user_to_chat(visibility="all", **joining), "limit_reached")
    equal(good(agent.add_user_to_chat(visibility="agents", **joining)), {})
    added = delivered("user_added_to_chat", lambda one: one.user["id"] == OWNER)
    equal((added.requester_id, added.user["visibility"]), (OWNER, "agents"))

    sent = good(agent.send_event(chat_id=chat_id, event=note))["event_id"]
    event = delivered("incoming_event", lambda incoming: incoming.event["id"] == sent).event
    equal((event["author_id"], event["visibility"]), (OWNER, "agents"))
    seen = good(customer.get_chat(chat_id=chat_id))["thread"]["events"]
    equal([one for one in seen if one["id"] == sent], [])

    equal(good(agent.remove_user_from_chat(chat_id=chat_id, user_id=OWNER, user_type="agent")), {})
    removed = delivered("user_removed_from_chat", lambda one: one.user_id == OWNER)
    equal((removed.reason, removed.requester_id, removed.user_type), ("manual", OWNER, "agent"))


@check
def an_agent_takes_the_chat_over_and_answers():
    chat_id = CHAT["chat_id"]
    refused(agent.transfer_chat(id=chat_id, target={"type": "group", "ids": [0]}), "authorization")
    target = {"type": "agent", "ids": [OWNER]}
    flags = {"ignore_agents_availability": True, "ignore_requester_presence": True}
    equal(good(agent.transfer_chat(id=chat_id, target=target, **flags)), {})
    moved = delivered("chat_transferred", lambda moved: moved.reason == "manual")
    equal((moved.requester_id, moved.transferred_to["agent_ids"]), (OWNER, [OWNER]))

    url = good(agent.upload_file(file={"file": ("terms.pdf", b"%PDF", "application/pdf")}))["url"]
    button = {"type": "message", "text": "Yes", "value": "yes", "postback_id": "p-1", "user_ids": []}
    question = {"title": "Happy?", "buttons": [button]}
    for event in (
        {"type": "message", "text": "an answer", "visibility": "all"},
        {"type": "file", "url": url, "visibility": "all"},
        {"type": "rich_message", "template_id": "quick_replies", "elements": [question]},
    ):
        sent = good(agent.send_event(chat_id=chat_id, event=event))["event_id"]
        heard = delivered("incoming_event", lambda incoming: incoming.event["id"] == sent).event
        equal((heard["type"], heard["author_id"], heard["visibility"]), (event["type"], OWNER, "all"))
        CHAT[event["type"]] = sent
    seen = good(customer.get_chat(chat_id=chat_id))["thread"]["events"]
    equal(only(seen, lambda one: one["id"] == CHAT["message"])["text"], "an answer")


@check
def an_agent_lists_and_reads_chats():
    filters = {"active": True, "group_ids": [1], "include_chats_without_threads": False}
    listed = good(agent.list_chats(filters=filters, limit=10, sort_order="desc"))
    summary = only(listed["chats_summary"], lambda chat: chat["id"] == CHAT["chat_id"])
    equal((summary["last_thread_summary"]["id"], summary["access"]["group_ids"]), (CHAT["thread_id"], [1]))
    equal(listed["found_chats"], len(listed["chats_summary"]))
    chat = good(agent.get_chat(chat_id=CHAT["chat_id"]))
    ann = only(chat["users"], lambda user: user["type"] == "customer")
    equal((ann["id"], ann["email"], ann["session_fields"]), (CUSTOMER, "ann@example.com", [{"order": "1234"}]))
    clara = only(chat["users"], lambda user: user["id"] == OWNER)
    equal((clara["email"], clara["visibility"], clara["present"]), (OWNER, "all", True))
    equal(only(chat["thread"]["events"], lambda one: one.get("custom_id") == "c-2")["text"], "a question")
    threads = good(agent.list_threads(chat_id=CHAT["chat_id"], limit=1, sort_order="desc"))
    equal(threads["threads"][0]["id"], CHAT["thread_id"])
    equal(good(agent.get_customer(id=CUSTOMER))["chat_ids"], [CHAT["chat_id"]])
    refused(agent.get_chat(chat_id="PXXXXXXXXX"), "not_found")
    refused(agent.get_chat(payload={"id": CHAT["chat_id"]}), "validation", "chat_id")
    refused(agent.list_chats(limit=101), "validation", "limit")


@check
def properties_are_written_and_deleted_at_three_levels():
    chat_id, thread_id, event_id = CHAT["chat_id"], CHAT["thread_id"], CHAT["message"]
    pinned = {"routing": {"pinned": True}}
    rating = {"rating": {"score": 1}}
    formatting = {"chats": {"formatting": "markdown"}}
    equal(good(agent.update_chat_properties(id=chat_id, properties=pinned)), {})
    equal(good(customer.update_thread_properties(chat_id=chat_id, thread_id=thread_id, properties=rating)), {})
    of_event = {"chat_id": chat_id, "thread_id": thread_id, "event_id": event_id}
    equal(good(agent.update_event_properties(properties=formatting, **of_event)), {})
    chat = good(agent.get_chat(chat_id=chat_id))
    equal((chat["properties"]["routing"]["pinned"], chat["thread"]["properties"]["rating"]["score"]), (True, 1))
    equal(only(chat["thread"]["events"], lambda one: one["id"] == event_id)["properties"], formatting)
    equal(delivered("chat_properties_updated").properties, pinned)
    equal(delivered("thread_properties_updated").properties, rating)
    equal(delivered("event_properties_updated").event_id, event_id)

    good(agent.delete_chat_properties(id=chat_id, properties={"routing": ["pinned"]}))
    good(customer.delete_thread_properties(chat_id=chat_id, thread_id=thread_id, properties={"rating": ["score"]}))
    good(agent.delete_event_properties(properties={"chats": ["formatting"]}, **of_event))
    equal(delivered("chat_properties_deleted").properties, {"routing": ["pinned"]})
    equal(delivered("thread_properties_deleted").thread_id, thread_id)
    equal(delivered("event_properties_deleted").event_id, event_id)
    refused(agent.update_chat_properties(id=chat_id, properties={"mood": {"good": True}}), "validation", "mood")
    refused(agent.update_chat_properties(payload={"chat_id": chat_id, "properties": pinned}), "validation", "id")


@check
def threads_are_tagged_and_untagged():
    tag = {"chat_id": CHAT["chat_id"], "thread_id": CHAT["thread_id"], "tag": "parcel"}
    refused(agent.tag_thread(**tag), "validation", "parcel")
    equal(good(configuration.create_tag(name="parcel", group_ids=[1])), {})
    refused(configuration.create_tag(name="parcel", group_ids=[1]), "already_exists")
    only(good(configuration.list_tags(filters={"group_ids": [1]})), lambda one: one["name"] == "parcel")
    equal(good(agent.tag_thread(**tag)), {})
    equal(good(agent.get_chat(chat_id=CHAT["chat_id"]))["thread"]["tags"], ["parcel"])
    equal(good(agent.untag_thread(**tag)), {})
    equal((delivered("thread_tagged").tag, delivered("thread_untagged").tag), ("parcel", "parcel"))


@check
def the_remaining_webhooks_fit_the_sdks_classes():
    chat_id, thread_id = CHAT["chat_id"], CHAT["thread_id"]
    pressed = {"id": "p-1", "toggled": True}
    of_event = {"chat_id": chat_id, "thread_id": thread_id, "event_id": CHAT["rich_message"]}
    good(customer.send_rich_message_postback(postback=pressed, **of_event))
    postback = delivered("incoming_rich_message_postback")
    equal((postback.user_id, postback.event_id, postback.postback), (CUSTOMER, CHAT["rich_message"], pressed))
    good(customer.mark_events_as_seen(chat_id=chat_id, seen_up_to="2026-05-11T09:41:00.877000Z"))
    equal(delivered("events_marked_as_seen").user_id, CUSTOMER)
    good(customer.set_customer_session_fields(session_fields=[{"order": "5678"}]))
    fields = delivered("customer_session_fields_updated", lambda one: one.session_fields == [{"order": "5678"}])
    equal((fields.id, fields.active_chat), (CUSTOMER, {"chat_id": chat_id, "thread_id": thread_id}))
    good(agent.set_routing_status(status="not_accepting_chats", agent_id="ben@example.com"))
    status = delivered("routing_status_set")
    equal((status.agent_id, status.status), ("ben@example.com", "not accepting chats"))
    statuses = good(agent.list_routing_statuses(filters={"group_ids": [1]}))
    equal(only(statuses, lambda one: one["agent_id"] == "ben@example.com")["status"], "not_accepting_chats")
    good(agent.set_routing_status(status="accepting_chats", agent_id="ben@example.com"))

    flags = {"ignore_agents_availability": True, "ignore_requester_presence": True}
    good(agent.transfer_chat(id=chat_id, target={"type": "group", "ids": [0]}, **flags))
    access = delivered("chat_access_updated", lambda one: one.id == chat_id and one.access["group_ids"] == [0])
    equal(access.access, {"group_ids": [0]})


@check
def a_chat_is_closed_and_resumed_by_the_customer():
    chat_id = CHAT["chat_id"]
    refused(customer.deactivate_chat(payload={"chat_id": chat_id}), "validation", "id")
    equal(good(customer.deactivate_chat(id=chat_id)), {})
    closed = delivered("chat_deactivated")
    equal((closed.chat_id, closed.thread_id, closed.user_id), (chat_id, CHAT["thread_id"], CUSTOMER))
    refused(customer.deactivate_chat(id=chat_id), "chat_inactive")
    refused(customer.send_event(chat_id=chat_id, event={"type": "message", "text": "?"}), "chat_inactive")
    joining = {"chat_id": chat_id, "user_id": OWNER, "user_type": "agent", "ignore_requester_presence": True}
    refused(agent.add_user_to_chat(visibility="all", **joining), "chat_inactive")
    refused(customer.start_chat(), "validation", "already")

    resumed = good(customer.resume_chat(chat={"id": chat_id, "access": {"group_ids": [1]}}, active=True))
    equal(resumed["thread_id"] == CHAT["thread_id"], False)
    again = delivered("incoming_chat", lambda one: one.chat["thread"]["id"] == resumed["thread_id"]).chat
    equal((again["id"], again["thread"]["previous_thread_id"]), (chat_id, CHAT["thread_id"]))
    threads = good(customer.list_threads(chat_id=chat_id, sort_order="asc"))["threads"]
    equal([thread["id"] for thread in threads], [CHAT["thread_id"], resumed["thread_id"]])

    refused(agent.deactivate_chat(id=chat_id), "authorization")
    equal(good(agent.deactivate_chat(id=chat_id, ignore_requester_presence=True)), {})
    closed = delivered("chat_deactivated", lambda one: one.thread_id == resumed["thread_id"])
    equal(closed.user_id, OWNER)
    archived = good(agent.list_archives(filters={"customer_id": CUSTOMER}))
    equal((archived["found_chats"], archived["chats"][0]["id"]), (2, chat_id))


@check
def wrong_credentials_and_unknown_actions_are_refused():
    wrong = AccessToken(scheme=TokenType.BASIC, token="d3Jvbmc6d3Jvbmc=")
    refused(plain(AgentWeb.get_client(access_token=wrong, **COMMON)).list_chats(), "authentication")
    refused(plain(ConfigurationApi.get_client(token=wrong, **COMMON)).list_groups(), "authentication")
    refused(configuration.list_channels(headers={"X-Region": "fra"}), "misdirected_request")
    refused(customer.get_predicted_agent(), "not_found")
    token = first_grant.json()["access_token"]
    elsewhere = CustomerWeb.get_client(access_token=f"Bearer {token}", organization_id="other", **COMMON)
    refused(plain(elsewhere).list_chats(), "license_not_found")
    older = AgentWeb.get_client(access_token=agent_token, **(COMMON | {"version": "3.5"}))
    refused(plain(older).list_chats(), "unsupported_version")


@check
def a_whole_handoff_with_the_agent_at_the_sdk():
    user = people("POST", "/users", {"name": "Bea", "email": "bea@example.com"})["conversation"]
    people("POST", f"/users/{user}/say", {"text": "my parcel is late"})
    people("POST", f"/users/{user}/escalate")

    def opened():
        chats = good(agent.list_chats(filters={"active": True}))["chats_summary"]
        return [chat for chat in chats if any(one.get("name") == "Bea" for one in chat["users"])]

    chat_id = eventually("the chat", opened)[0]["id"]

    def read():
        chat = good(agent.get_chat(chat_id=chat_id))
        return chat, [event for event in chat["thread"]["events"] if event["type"] == "message"]

    chat, messages = read()
    bea = only(chat["users"], lambda one: one["type"] == "customer")
    equal((bea["email"], chat["access"]["group_ids"]), ("bea@example.com", [1]))
    equal(any("my parcel is late" in message["text"] for message in messages), True)

    target = {"type": "agent", "ids": [OWNER]}
    flags = {"ignore_agents_availability": True, "ignore_requester_presence": True}
    good(agent.transfer_chat(id=chat_id, target=target, **flags))
    good(agent.send_event(chat_id=chat_id, event={"type": "message", "text": "let me look", "visibility": "all"}))
    good(agent.send_event(chat_id=chat_id, event={"type": "message", "text": "not for her", "visibility": "agents"}))

    def screen():
        return people("GET", f"/users/{user}/screen")

    answer = eventually("the answer", lambda: [line for line in screen() if line["text"] == "let me look"])
    equal([(line["from"], line["name"]) for line in answer], [("Agent", "Clara")])

    people("POST", f"/users/{user}/say", {"text": "thank you"})
    thanks = eventually("her thanks", lambda: [one for one in read()[1] if one["text"] == "thank you"])
    equal([one["author_id"] for one in thanks], [bea["id"]])

    good(agent.deactivate_chat(id=chat_id))

    def ended():
        return [one for one in people("GET", "/journal") if one["effect"] == "hitl_ended"]

    equal(len(eventually("the end", ended)), 1)
    equal([line for line in screen() if line["text"] == "not for her"], [])


@check
def each_registered_webhook_was_delivered_and_fits_its_class():
    for action in ACTIONS:
        delivered(action)


@check
def our_function_heard_of_all_chats_and_answered_each_webhook_with_200():
    deliveries = [one["detail"] for one in people("GET", "/journal") if one["effect"] == "webhook_delivered"]
    statuses = [one["status"] for one in deliveries if one["url"] == LIVECHAT["webhook_url"]]
    equal((len(statuses) > 10, set(statuses)), (True, {200}))


print(f"{results.count(True)} passed, {results.count(False)} failed")
sys.exit(0 if all(results) else 1)
