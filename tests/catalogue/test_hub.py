"""What a hub or an address answers: listings, files, refusals, tokens; faults are sentences."""

from __future__ import annotations

import pytest

from tests.support.hub import Hub
from tests.support.repositories import SD
from workbench.catalogue import hub
from workbench.weights.repository import places


def test_an_address_that_tells_no_size_is_not_fetched(there, tmp_path):
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "base.pt").touch()
    there.folders["plain"] = tmp_path / "plain"
    with pytest.raises(OSError, match="does not tell how large it is"):
        hub.size_of_url(f"{there.url}/plain/base.pt")


@pytest.mark.parametrize(
    ("refused", "kind", "sentence"),
    [
        ((401, ""), LookupError, r"answered 401: `hf auth login` sets a token that is valid$"),
        ((403, ""), LookupError, r"answered 403: look at http://127.0.0.1:\d+/Salesforce/"),
        ((404, "EntryNotFound"), LookupError, "^a file that .* listed is gone from it; the same"),
        ((429, ""), OSError, "answered 429: too much was asked of it; wait some minutes: what was"),
        ((503, ""), OSError, "answered 503: it has trouble now; what was fetched is kept"),
    ],
)
def test_what_a_hub_refuses_is_told_with_what_helps(there, refused, kind, sentence):
    place = hub.listing("Salesforce/blip-image-captioning-base")
    there.refused = {place.files[0].name: refused}
    with pytest.raises(kind, match=sentence):
        hub.fetch(place, place.files[0])


@pytest.mark.parametrize("says", [b"<html>Log in to this network</html>", b"[]", b""])
def test_what_stands_in_the_place_of_a_hub_is_told(there, says):
    there.says = says
    with pytest.raises(OSError, match=r"answers as no hub does: a log-in page of this network"):
        hub.listing(SD)


def test_a_token_does_not_follow_to_another_host(there, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    place, sent = hub.listing(SD), []
    with Hub(there.folders) as other:
        answer = other.answer
        other.answer = lambda request: (
            sent.append(request.headers["authorization"]),
            answer(request),
        )
        there.moved = other.url.replace("127.0.0.1", "localhost")
        hub.fetch(place, place.files[0])
    assert sent == [None]


def test_a_file_is_fetched_by_one_process_at_a_time(there):
    place = hub.listing(SD)
    blob = places(place, place.files[0])[1]
    with hub._alone(blob, "held"), pytest.raises(OSError, match=r"^another process is fetching .*"):
        hub.fetch(place, place.files[0])
    assert hub.fetch(place, place.files[0]).is_file()
    assert not list(blob.parent.glob("*.lock"))
