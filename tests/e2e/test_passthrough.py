"""Origins of mode "passthrough": what a shared HTTP cache keeps and when it uses it (RFC 9111). Staleness is made by Age, not by waiting."""
import email.utils
import time

import pytest

from kit import wire
from kit.raw_origin import answer
from kit.wait import until


def date(seconds=0):
    return email.utils.formatdate(time.time() + seconds, usegmt=True)


def get(site, target="/x", method="GET", headers=()):
    """@return (reply, body)"""
    return site.server.get(target, method, list(headers))


def counted(*lines, **more):
    """Answers with a body that says how many requests for the target came so far."""
    seen = {}

    def reply(asked):
        seen[asked.target] = seen.get(asked.target, 0) + 1
        return answer(*lines, body=b"%d" % seen[asked.target], **more)
    return reply


@pytest.fixture
def cached(site):
    """@return a function: the answer's lines -> the bodies of two requests, one after the other."""
    def run(*lines, first=(), second=(), status="200 OK"):
        target = f"/{len(site.answers)}"
        site.answers[target] = counted(*lines, status=status)
        if site.server.process is None:
            site.server.start()
        bodies = [get(site, target, headers=h)[1] for h in (first, second)]
        return bodies == [b"1", b"1"]
    return run


def test_lifetimes(cached):
    assert not cached(), "no default lifetime"
    assert cached("Cache-Control: max-age=60")
    assert not cached("Cache-Control: max-age=60", "Age: 61")
    assert not cached("Cache-Control: max-age=60", f"Date: {date(-61)}"), "apparent age"
    assert cached("Cache-Control: max-age=0, s-maxage=60"), "s-maxage is for us"
    assert not cached("Cache-Control: max-age=60, s-maxage=0")
    assert cached(f"Expires: {date(60)}")
    assert not cached(f"Expires: {date(60)}", f"Date: {date(120)}"), "Expires counts from Date"
    assert not cached("Expires: 0", f"Last-Modified: {date(-100000)}"), "nonsense is stale"
    assert cached(f"Last-Modified: {date(-100000)}"), "heuristic"
    assert not cached(f"Last-Modified: {date(-100000)}", status="403 Forbidden"), "403 has no heuristic"
    assert cached("Cache-Control: max-age=60", status="403 Forbidden")
    assert cached("Cache-Control: max-age=60", status="299 Whatever")
    assert not cached("Cache-Control: max-age=60, must-understand", status="599 Whatever")


def test_what_is_not_stored(cached):
    assert not cached("Cache-Control: no-store, max-age=60")
    assert not cached("Cache-Control: private, max-age=60")
    assert not cached("Cache-Control: no-cache, max-age=60")
    assert not cached("Cache-Control: max-age=60", "Vary: *")
    assert not cached("Cache-Control: max-age=60", "Vary: Foo, *")
    assert not cached("Cache-Control: max-age=60", "Set-Cookie: a=b")
    assert not cached("Cache-Control: max-age=60", first=[("Cache-Control", "no-store")])


def test_set_cookie_is_stored_when_the_origin_is_said_to_be_fine(site, cached):
    site.server.config["origins"][0]["storeSetCookie"] = True
    assert cached("Cache-Control: max-age=60", "Set-Cookie: a=b")


def test_authorization(cached):
    secret = [("Authorization", "Bearer x")]
    assert not cached("Cache-Control: max-age=60", first=secret)
    assert cached("Cache-Control: max-age=60, public", first=secret)
    assert cached("Cache-Control: s-maxage=60", first=secret)
    assert cached("Cache-Control: max-age=60", second=secret), "what is public already may be used"


def test_cdn_cache_control_stands_for_cache_control(cached):
    assert cached("Cache-Control: no-store", "CDN-Cache-Control: max-age=60")
    assert not cached("Cache-Control: max-age=60", "CDN-Cache-Control: no-store")
    assert not cached("Cache-Control: max-age=60", "CDN-Cache-Control: private")
    assert cached("Cache-Control: max-age=60", "CDN-Cache-Control: max-age=0, &"), "what does not parse is ignored"
    assert not cached("Cache-Control: no-store", 'CDN-Cache-Control: max-age="60"'), "so is the wrong type"


def test_request_directives(cached):
    fresh = "Cache-Control: max-age=60"
    ask = lambda value: [("Cache-Control", value)]
    assert not cached(fresh, second=ask("no-cache"))
    assert not cached(fresh, second=ask("max-age=0"))
    assert not cached(fresh, "Age: 30", second=ask("max-age=10"))
    assert not cached(fresh, "Age: 30", second=ask("min-fresh=40"))
    assert cached(fresh, "Age: 90", f"Last-Modified: {date(-9)}", second=ask("max-stale=60"))
    assert not cached(fresh + ", must-revalidate", "Age: 90", f"Last-Modified: {date(-9)}", second=ask("max-stale=60"))


def test_only_if_cached_says_504_and_asks_nobody(site):
    site.server.start()
    reply, _ = get(site, headers=[("Cache-Control", "only-if-cached")])
    assert reply.status == 504 and not site.asked()


def test_a_hit_says_how_old_it_is_and_leaves_the_rest_as_it_came(site):
    then = date(-5)
    site.answers["/x"] = answer("Cache-Control: max-age=60", f"Date: {then}", "Age: 20", "X-Odd_1: a", "Content-Type: text/x", body=b"hi")
    site.server.start()
    assert get(site)[0]["X-Cache-Status"] == "MISS"
    reply, body = get(site)
    assert (reply["X-Cache-Status"], reply["X-Cache-Source"], body) == ("HIT", "edge", b"hi")
    assert 20 <= int(reply["Age"]) <= 30 and reply["Date"] == then and reply["X-Odd_1"] == "a"
    assert reply["Cache-Control"] == "max-age=60" and reply["Content-Type"] == "text/x"
    assert reply["Cache-Status"].startswith("edge; hit; ttl=3") or reply["Cache-Status"].startswith("edge; hit; ttl=4")
    head, _ = get(site, method="HEAD")
    assert head.status == 200 and head["Content-Length"] == "2" and head["X-Cache-Status"] == "HIT"
    assert len(site.asked()) == 1


def test_vary_keeps_variants_apart(site):
    site.answers["/x"] = lambda a: answer("Cache-Control: max-age=60", "Vary: Foo, accept-language", body=("|".join(a.get("Foo") + a.get("Accept-Language"))).encode())
    site.server.start()
    ask = lambda *h: get(site, headers=h)[1]
    assert ask(("Foo", "1")) == b"1" and ask(("Foo", "2")) == b"2" and ask() == b""
    assert len(site.asked()) == 3
    assert ask(("Foo", "1")) == b"1" and ask(("Foo", "2"), ("Other", "y")) == b"2" and ask() == b""
    assert ask(("Foo", "1,2")) == b"1,2" and ask(("Foo", "1"), ("Foo", " 2")) == b"1,2", "lines are joined, white space does not count"
    assert ask(("Accept-Language", "de, en;q=0.5")) == b"de, en;q=0.5" and ask(("Accept-Language", "EN;q=0.5,de")) == b"de, en;q=0.5"
    assert len(site.asked()) == 5
    assert ask(("Foo", "")) == b"" and len(site.asked()) == 6, "an empty field is not an absent one"


# -- validation

def stale(*lines):
    return "Cache-Control: max-age=10", "Age: 20", *lines


def test_a_304_freshens_what_is_stored(site):
    replies = iter([answer(*stale('ETag: "a"', "Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT", "X-A: old", "X-B: old"), body=b"body"),
                    answer("Cache-Control: max-age=60", 'ETag: "a"', "X-A: new", "Content-Length: 99", status="304 Not Modified", length=False)])
    site.answers["/x"] = lambda _: next(replies)
    site.server.start()
    get(site)
    for _ in range(2):
        reply, body = get(site)
        assert (reply.status, body, reply["X-A"], reply["X-B"], reply["Content-Length"]) == (200, b"body", "new", "old", "4")
        assert reply["Cache-Control"] == "max-age=60" and int(reply["Age"]) < 5
    assert len(site.asked()) == 2
    assert site.asked()[1].one("If-None-Match") == '"a"'
    assert site.asked()[1].one("If-Modified-Since") == "Wed, 01 Jan 2020 00:00:00 GMT"


def test_a_304_with_another_strong_validator_updates_nothing(site):
    replies = iter([answer(*stale('ETag: "a"', "X-A: old"), body=b"body")] +
                   [answer("Cache-Control: max-age=60", 'ETag: "b"', "X-A: new", status="304 Not Modified", length=False)] * 2)
    site.answers["/x"] = lambda _: next(replies)
    site.server.start()
    get(site)
    for _ in range(2):
        reply, body = get(site)
        assert (reply["ETag"], reply["X-A"], body) == ('"a"', "old", b"body")
    assert len(site.asked()) == 3


def test_conditions_of_the_client_are_ours_to_judge(site):
    site.answers["/x"] = answer("Cache-Control: max-age=60", 'ETag: "a"', "Vary: Foo", "Content-Language: de", body=b"body")
    site.server.start()
    assert get(site)[0].status == 200
    reply, body = get(site, headers=[("If-None-Match", '"z", W/"a"')])
    assert (reply.status, body, reply["ETag"], reply["Vary"]) == (304, b"", '"a"', "Foo")
    assert "Content-Language" not in reply
    assert get(site, headers=[("If-Match", '"z"')])[0].status == 412
    assert len(site.asked()) == 1
    # While it is validated, they are kept from the origin.
    reply, _ = get(site, headers=[("If-None-Match", '"a"'), ("Cache-Control", "no-cache")])
    assert reply.status == 304 and site.asked()[1].get("If-None-Match") == ['"a"']


def test_without_anything_stored_conditions_are_the_origins(site):
    site.answers["/x"] = answer('ETag: "a"', status="304 Not Modified", length=False)
    site.server.start()
    reply, _ = get(site, headers=[("If-None-Match", '"a"')])
    assert reply.status == 304 and reply["ETag"] == '"a"' and site.asked()[0].get("If-None-Match") == ['"a"']


def test_head_updates_what_is_stored(site):
    seen = []

    def reply(asked):
        seen.append(asked.method)
        if asked.method == "HEAD":
            return answer("Cache-Control: max-age=60", "X-A: new", "Content-Length: %d" % (2 if asked.target == "/x" else 3), length=False)
        return answer(*stale("X-A: old", 'ETag: "a"'), body=b"hi")
    site.answers["/x"] = site.answers["/y"] = reply
    site.server.start()
    for target in ("/x", "/y"):
        get(site, target)
        assert get(site, target, "HEAD")[0]["X-A"] == "new"
    assert get(site, "/x")[0]["X-A"] == "new", "freshened"
    assert get(site, "/y")[0]["X-A"] == "old", "another length: asked again"
    assert seen == ["GET", "HEAD", "GET", "HEAD", "GET"]


# -- unsafe methods

@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"])
def test_unsafe_methods_go_through_with_their_body_and_invalidate(site, method):
    site.answers["/x"] = lambda a: counter(a) if a.method == "GET" else answer("Location: /loc", "Content-Location: http://%s/cl" % a.one("X-Forwarded-Host"), status="204 No Content", length=False)
    counter = counted("Cache-Control: max-age=60")
    site.answers["/loc"] = site.answers["/cl"] = counted("Cache-Control: max-age=60")
    site.server.start()
    for target in ("/x", "/loc", "/cl"):
        assert [get(site, target)[1], get(site, target)[1]] == [b"1", b"1"]
    body = b"\0\r\n" * 1000
    with site.server.connect() as c:
        assert c.ask("/x", method, [("Content-Length", str(len(body))), ("Content-Type", "a/b")], body).status == 204
    asked = [a for a in site.asked() if a.method == method]
    assert len(asked) == 1 and asked[0].body == body and asked[0].get("Content-Type") == ["a/b"]
    for target in ("/x", "/loc", "/cl"):
        assert get(site, target)[1] == b"2", target


def test_a_failed_unsafe_request_invalidates_nothing(site):
    counter = counted("Cache-Control: max-age=60")
    site.answers["/x"] = lambda a: counter(a) if a.method == "GET" else answer(status="500 Oops")
    site.server.start()
    get(site)
    assert get(site, method="DELETE")[0].status == 500
    assert get(site)[1] == b"1"


def test_an_answer_to_post_may_stand_for_the_url_that_it_names(site):
    site.answers["/x"] = lambda a: answer("Cache-Control: max-age=60", "Content-Location: /x", body=a.method.encode())
    site.server.start()
    with site.server.connect() as c:
        assert c.ask("/x", "POST", [("Content-Length", "1")], b"q").body() == b"POST"
    assert get(site)[1] == b"POST" and len(site.asked()) == 1


# -- parts

def parts(asked, content=b"0123456789", etag='"a"'):
    wanted = asked.one("Range")
    if not wanted or (asked.one("If-Range") or etag) != etag:
        return answer("Cache-Control: max-age=60", f"ETag: {etag}", body=content)
    first, last = wanted[len("bytes="):].split("-")
    first, last = int(first), int(last or len(content) - 1)
    return answer("Cache-Control: max-age=60", f"ETag: {etag}", f"Content-Range: bytes {first}-{last}/{len(content)}", "Content-Type: t/p",
                  body=content[first:last + 1], status="206 Partial Content")


def test_parts_are_stored_joined_and_completed(site):
    site.answers["/x"] = parts
    site.server.start()
    ask = lambda r: get(site, headers=[("Range", "bytes=" + r)])
    assert ask("0-3")[1] == b"0123"
    reply, body = ask("1-2")
    assert (reply.status, body, reply["Content-Range"], reply["X-Cache-Status"]) == (206, b"12", "bytes 1-2/10", "HIT")
    assert ask("2-6")[1] == b"23456" and ask("4-6")[1] == b"456"
    assert ask("1-6")[1] == b"123456", "two parts joined"
    assert len(site.asked()) == 2 + 0 * len(body)
    reply, body = get(site)
    assert (reply.status, body, reply["Content-Length"], "Content-Range" in reply) == (200, b"0123456789", "10", False)
    assert site.asked()[-1].one("Range") == "bytes=7-" and site.asked()[-1].one("If-Range") == '"a"'
    assert get(site)[1] == b"0123456789" and ask("-3")[1] == b"789" and len(site.asked()) == 3


def test_parts_of_different_representations_are_never_joined(site):
    site.server.start()
    site.answers["/x"] = parts
    ask = lambda r: get(site, headers=[("Range", "bytes=" + r)])[1]
    ask("0-3")
    site.answers["/x"] = lambda a: parts(a, b"ABCDEFGHIJ", '"b"')
    assert ask("4-9") == b"EFGHIJ"
    assert ask("0-9") == b"ABCDEFGHIJ"
    site.answers["/y"] = parts
    get(site, "/y", headers=[("Range", "bytes=0-3")])
    site.answers["/y"] = lambda a: parts(a, b"ABCDEFGHIJ", '"b"')
    assert get(site, "/y")[1] == b"ABCDEFGHIJ", "If-Range lets the origin say that it has changed"


def test_a_part_whose_length_is_not_what_it_says_is_not_stored(site):
    site.answers["/x"] = answer("Cache-Control: max-age=60", "Content-Range: bytes 4-9/10", body=b"01234", status="206 Partial Content")
    site.server.start()
    for _ in range(2):
        assert get(site, headers=[("Range", "bytes=4-9")])[0].status == 206
    assert len(site.asked()) == 2


def test_ranges_of_a_whole_are_answered_from_it(site):
    site.answers["/x"] = answer("Cache-Control: max-age=60", body=b"0123456789")
    site.server.start()
    get(site)
    reply, body = get(site, headers=[("Range", "bytes=2-4")])
    assert (reply.status, body, reply["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert get(site, headers=[("Range", "bytes=99-")])[0].status == 416
    assert len(site.asked()) == 1


# -- stale

def test_stale_when_the_origin_is_out_of_reach_unless_forbidden(site):
    for i, cc in enumerate(["max-age=10", "max-age=10, must-revalidate", "max-age=10, proxy-revalidate", "s-maxage=10", "max-age=10, no-cache"]):
        site.answers[f"/{i}"] = answer(f"Cache-Control: {cc}", "Age: 20", 'ETag: "a"', body=b"old")
    site.server.config["fetch"] = {"breakerFailures": 0}  # an open circuit has another status
    site.server.start()
    for i in range(5):
        get(site, f"/{i}")
        site.answers[f"/{i}"] = lambda _: None
    reply, body = get(site, "/0")
    assert (reply.status, body, reply["X-Cache-Status"]) == (200, b"old", "STALE")
    assert "ttl=-" in reply["Cache-Status"]
    for i in range(1, 5):
        assert get(site, f"/{i}")[0].status == 504, i


def test_a_server_error_is_passed_on_unless_stale_if_error_allows_better(site):
    for target, cc in (("/a", "max-age=10"), ("/b", "max-age=10, stale-if-error=60"), ("/c", "max-age=10, stale-if-error=5")):
        site.answers[target] = answer(f"Cache-Control: {cc}", "Age: 20", 'ETag: "a"', body=b"old")
    site.server.start()
    for target in ("/a", "/b", "/c"):
        get(site, target)
        site.answers[target] = answer(status="503 Busy", body=b"busy")
    assert get(site, "/a")[1] == b"busy"
    assert get(site, "/b")[1] == b"old"
    assert get(site, "/c")[1] == b"busy"
    assert get(site, "/a", headers=[("Cache-Control", "stale-if-error=60")])[1] in (b"old", b"busy")


def test_stale_while_revalidate_answers_at_once_and_asks_behind(site):
    site.answers["/x"] = answer("Cache-Control: max-age=10, stale-while-revalidate=60", "Age: 20", body=b"old")
    site.server.start()
    get(site)
    site.answers["/x"] = answer("Cache-Control: max-age=60", body=b"new")
    reply, body = get(site)
    assert (body, reply["X-Cache-Status"]) == (b"old", "STALE")
    until(lambda: get(site)[1] == b"new", "the new answer is stored")
    assert len(site.asked()) == 2


# -- purge

def test_purges_reach_passed_through_answers(site):
    site.server.config["origins"][0]["cacheTags"] = ["all-pages"]
    site.answers.update({t: counted("Cache-Control: max-age=60", "Cache-Tag: one, t" + t[1:]) for t in ("/a", "/b")})
    site.server.start()
    key = f"passthrough:http://{site.server.address}/a"
    expected = {"/a": 0, "/b": 0}
    for scope, hit in (({"key": key}, "a"), ({"tag": "ta"}, "a"), ({"tag": "one"}, "ab"), ({"tag": "all-pages"}, "ab"), ({"source": "b"}, "b"),
                       ({"prefix": key[:-1]}, "ab"), ({"origin": "site"}, "ab"), ({"everything": True}, "ab"), ({"tag": "none"}, "")):
        for target in expected:
            get(site, target)
            assert get(site, target)[0]["X-Cache-Status"] == "HIT", scope
        assert site.server.purge(**scope, dryRun=True)["edge"] == len(hit), scope
        assert get(site, "/a")[0]["X-Cache-Status"] == "HIT"
        assert site.server.purge(**scope)["edge"] == len(hit), scope
        for target in expected:
            assert get(site, target)[0]["X-Cache-Status"] == ("MISS" if target[1] in hit else "HIT"), (scope, target)


def test_a_soft_purge_makes_stale(site):
    site.answers["/x"] = answer("Cache-Control: max-age=60", 'ETag: "a"', body=b"old")
    site.server.start()
    get(site)
    site.server.purge(everything=True, mode="soft")
    site.answers["/x"] = answer(status="304 Not Modified", length=False)
    reply, body = get(site)
    assert body == b"old" and "fwd=stale; fwd-status=304" in reply["Cache-Status"]


def test_what_was_asked_for_before_a_purge_is_not_stored_after_it(site):
    import threading
    gate = threading.Event()

    def slowly(_):
        gate.wait(20)
        return answer("Cache-Control: max-age=60", body=b"before")
    site.answers["/x"] = slowly
    site.server.start()
    c = site.server.connect()
    c.begin("/x")
    until(lambda: site.asked(), "the origin is asked")
    site.server.purge(everything=True)
    gate.set()
    assert c.reply().body() == b"before"
    site.answers["/x"] = answer(body=b"after")
    assert get(site)[1] == b"after"
