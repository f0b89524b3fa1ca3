"""Which form of an answer a client gets: content negotiation as k8s.io/apiserver does it (pkg/endpoints/handlers/negotiation).

The first acceptable clause of the Accept header wins, better quality first. A clause may ask for a transformation
(``as=Table;g=meta.k8s.io;v=v1``); one that cannot be had here is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from navarch.apimachinery import errors

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
OFFERED = (JSON, YAML, PROTOBUF)
STREAMED = (JSON, PROTOBUF)
FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
META_GROUP = "meta.k8s.io"
# Who reads answers with their eyes.
_EYES = ("curl", "Wget", "Mozilla/5.0")


@dataclass(frozen=True, slots=True)
class Representation:
    """What the client asked to be sent."""

    media_type: str = JSON
    form: str = ""
    """"" is the object itself; Table, PartialObjectMetadata, PartialObjectMetadataList."""
    form_version: str = "v1"
    pretty: bool = False


PLAIN = Representation()
PRETTY = Representation(pretty=True)


@lru_cache(maxsize=1024)
def negotiate(accept: str, *, has_protobuf: bool = True, has_table: bool = True, streamed: bool = False) -> Representation:
    """The form that an Accept header asks for.

    `has_protobuf`, `has_table`: whether the answer has such forms; `streamed`: whether it is a watch's. Raises 406 where
    nothing fits.
    """
    if not accept or accept in (JSON, "*/*"):
        return PLAIN
    offered = STREAMED if streamed else OFFERED
    for media, options in clauses(accept):
        if media in ("*/*", "application/*"):
            media = JSON
        if media not in offered or (media == PROTOBUF and not has_protobuf and "as" not in options):
            continue
        form = options.get("as", "")
        if not form:
            return Representation(media)
        if form not in FORMS or options.get("g") != META_GROUP or options.get("v") not in ("v1", "v1beta1"):
            continue
        if form == "Table" and (media == PROTOBUF or not has_table):
            continue
        return Representation(media, form, options["v"])
    raise errors.not_acceptable([f"{media};stream=watch" for media in offered] if streamed else offered)


def wants_pretty(query: Mapping[str, list[str]], user_agent: str) -> bool:
    """Whether JSON is to be indented: where it is asked for, else for those who look at it themselves."""
    asked = query.get("pretty")
    if asked and asked[0]:
        return asked[0] in ("1", "t", "T", "true", "TRUE", "True")
    return user_agent.startswith(_EYES)


def clauses(accept: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """(media type, parameters), best first, wildcards last among their like; clauses of quality 0 are none."""
    found = []
    for clause in accept.split(","):
        media, *parameters = (piece.strip() for piece in clause.split(";"))
        options = dict(parameter.partition("=")[::2] for parameter in parameters)
        try:
            quality = float(options.pop("q", "1"))
        except ValueError:
            quality = 1.0
        if media and quality > 0:
            found.append((-quality, media.count("*"), media, options))
    for _, _, media, options in sorted(found, key=lambda clause: clause[:2]):
        yield media, options
