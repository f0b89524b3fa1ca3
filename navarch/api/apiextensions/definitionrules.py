"""What a CustomResourceDefinition may say (apiextensions-apiserver/pkg/apis/apiextensions/validation).

What all versions have in common is looked at once, under ``spec``, as if it stood there: the paths of errors are those of the
API's own form, in which it does.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from navarch.api.admissionregistration import clientconfig
from navarch.api.apiextensions import goforms, schemarules
from navarch.api.apiextensions.approval import ANNOTATION, Approval, approval, is_protected
from navarch.api.apiextensions.customresourcedefinition import ESTABLISHED, schema_of
from navarch.api.objectmeta import immutable
from navarch.apimachinery import meta, names
from navarch.apimachinery.errors import (
    FieldError,
    Object,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_many,
)
from navarch.apimachinery.structural import fieldpath, invariants, pruning

SCOPES = ("Cluster", "Namespaced")
STRATEGIES = ("None", "Webhook")
REVIEW_VERSIONS = ("v1", "v1beta1")
COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
SELECTABLE_LIMIT = 8
DEPRECATION_WARNING_LIMIT_BYTES = 256
_SELECTABLE = (
    "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."
)
_PER_VERSION = ("schema", "subresources", "additionalPrinterColumns", "selectableFields")


@dataclass(frozen=True, slots=True)
class _Spec:
    """A spec with what all its versions have in common apart from what each has for itself."""

    shared: Object
    versions: list[Object]


def _apart(spec: Object) -> _Spec:
    versions: list[Object] = spec.get("versions") or []
    first = versions[0] if versions else {}
    same = {field for field in _PER_VERSION if all(version.get(field) == first.get(field) for version in versions)}
    if "schema" not in same:
        same.discard("selectableFields")
    shared = {field: first[field] for field in same if field in first}
    return _Spec(shared, [{key: value for key, value in version.items() if key not in same} for version in versions])


def validate(definition: Object) -> Iterator[FieldError]:
    """What is wrong with a definition, its metadata apart but for the name."""
    spec, status = definition["spec"], definition.get("status") or {}
    yield from _name(definition["metadata"], spec)
    yield from _spec(spec)
    yield from validate_status(definition)
    yield from _stored_versions(status.get("storedVersions") or [], spec.get("versions") or [])


def validate_create(definition: Object) -> Iterator[FieldError]:
    yield from _approved(definition, None)
    yield from _pruned(definition, None)


def validate_update(new: Object, old: Object) -> Iterator[FieldError]:
    """What may not change."""
    now, before = new["spec"], old["spec"]
    if meta.is_condition_true(old, ESTABLISHED):
        if not _has_invalid_bundle(before):
            yield from _bundle(now)
        yield from immutable("spec.scope", now.get("scope", ""), before.get("scope", ""))
        yield from immutable("spec.names.kind", now["names"].get("kind", ""), before["names"].get("kind", ""))
    yield from immutable("spec.group", now.get("group", ""), before.get("group", ""))
    yield from immutable("spec.names.plural", now["names"].get("plural", ""), before["names"].get("plural", ""))
    yield from _approved(new, old)
    yield from _pruned(new, old)


def validate_status(definition: Object) -> Iterator[FieldError]:
    accepted = (definition.get("status") or {}).get("acceptedNames") or {}
    yield from _names(accepted, "status.acceptedNames")


def _name(metadata: Object, spec: Object) -> Iterator[FieldError]:
    wanted = f"{spec['names'].get('plural', '')}.{spec.get('group', '')}"
    for field in ("generateName", "name"):
        name = metadata.get(field)
        if name and name != wanted and not (field == "generateName" and metadata.get("name")):
            yield invalid_value(f"metadata.{field}", name, 'must be spec.names.plural+"."+spec.group')


def _stored_versions(stored: list[str], versions: list[Object]) -> Iterator[FieldError]:
    path = "status.storedVersions"
    if not stored:
        yield invalid_value(path, None, "must have at least one stored version")
        return
    for version in versions:
        if version.get("storage") and version["name"] not in stored:
            yield invalid_value(path, stored, f"must have the storage version {version['name']}")
    known = {version["name"] for version in versions}
    for index, name in enumerate(stored):
        if name not in known:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until "
                f"a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            )
            yield invalid_value(f"{path}[{index}]", name, text)


def _approved(new: Object, old: Object | None) -> Iterator[FieldError]:
    if not is_protected(new["spec"].get("group", "")):
        return
    state, reason = approval(meta.annotations(new))
    if old is not None and approval(meta.annotations(old))[0] is state:
        return
    path = f"metadata.annotations[{ANNOTATION}]"
    if state is Approval.MISSING:
        yield required(path, reason)
    elif state is Approval.INVALID:
        yield invalid_value(path, meta.annotations(new)[ANNOTATION], reason)


def _pruned(new: Object, old: Object | None) -> Iterator[FieldError]:
    if new["spec"].get("preserveUnknownFields") and not (old is not None and old["spec"].get("preserveUnknownFields")):
        text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        yield invalid_value("spec.preserveUnknownFields", True, text)


# The spec


def _spec(spec: Object) -> Iterator[FieldError]:
    apart = _apart(spec)
    yield from _group(spec.get("group", ""))
    scope = spec.get("scope", "")
    if not scope:
        yield required("spec.scope")
    elif scope not in SCOPES:
        yield not_supported("spec.scope", scope, SCOPES)
    if schema_of(apart.shared) is None:
        for index, version in enumerate(apart.versions):
            if schema_of(version) is None:
                yield required(f"spec.versions[{index}].schema.openAPIV3Schema")
    if spec.get("preserveUnknownFields") and any(map(_has_defaults, spec.get("versions") or ())):
        yield invalid_value("spec.preserveUnknownFields", True, "must be false in order to use defaults in the schema")
    yield from _versions(apart, spec)
    given = spec["names"]
    for field in ("plural", "singular", "kind", "listKind"):
        if not given.get(field):
            yield required(f"spec.names.{field}")
    yield from _names(given, "spec.names")
    yield from _parts(apart.shared, "spec", "spec.validation", has_status=_any_status(apart))
    conversion = spec.get("conversion")
    if conversion is not None:
        if conversion.get("strategy") != "None" and spec.get("preserveUnknownFields"):
            text = "must be None if spec.preserveUnknownFields is true"
            yield invalid_value("spec.conversion.strategy", conversion.get("strategy", ""), text)
        yield from _conversion(conversion, "spec.conversion")


def _has_defaults(version: Object) -> bool:
    schema = schema_of(version)
    return schema is not None and pruning.has_defaults(schema)


def _group(group: str) -> Iterator[FieldError]:
    if not group:
        yield required("spec.group")
    elif problems := ",".join(names.dns1123_subdomain(group)):
        yield invalid_value("spec.group", group, problems)
    elif "." not in group:
        yield invalid_value("spec.group", group, "should be a domain with at least one dot")


def _has_status(part: Object) -> bool:
    return "status" in (part.get("subresources") or {})


def _any_status(apart: _Spec) -> bool:
    return _has_status(apart.shared) or any(map(_has_status, apart.versions))


def _versions(apart: _Spec, spec: Object) -> Iterator[FieldError]:
    shares_subresources = not any("subresources" in version for version in apart.versions)
    for index, version in enumerate(apart.versions):
        path, name = f"spec.versions[{index}]", version["name"]
        problems = ",".join(names.dns1035_label(name))
        if problems:
            yield invalid_value(f"{path}.name", name, problems)
        yield from _deprecation(version, f"{path}.deprecationWarning")
        has_status = _has_status(apart.shared if shares_subresources else version)
        yield from _parts(version, path, f"{path}.schema", has_status=has_status)
    found = [version["name"] for version in apart.versions]
    if len(set(found)) < len(found):
        yield goforms.invalid_versions("spec.versions", apart.versions, "must contain unique version names")
    if sum(bool(version.get("storage")) for version in apart.versions) != 1:
        text = "must have exactly one version marked as storage version"
        yield goforms.invalid_versions("spec.versions", apart.versions, text)
    problems = ",".join(names.dns1035_label(found[0])) if found else ""
    if problems:
        yield invalid_value("spec.version", found[0], problems)


def _deprecation(version: Object, path: str) -> Iterator[FieldError]:
    text = version.get("deprecationWarning")
    if text is None:
        return
    problems = []
    if not version.get("deprecated"):
        problems.append("can only be set for deprecated versions")
    else:
        if len(text.encode()) > DEPRECATION_WARNING_LIMIT_BYTES:
            problems.append("must be <= 256 characters long")
        if not text:
            problems.append("must not be an empty string")
        strange = next((index for index, character in enumerate(text) if not character.isprintable()), None)
        if strange is not None:
            place = len(text[:strange].encode())
            said = "must only contain printable UTF-8 characters; non-printable character found at index"
            problems.append(f"{said} {place}")
    yield from (invalid_value(path, text, problem) for problem in problems)


def _parts(part: Object, path: str, schema_path: str, *, has_status: bool) -> Iterator[FieldError]:
    """What a version says of its objects, or all versions together."""
    is_shared = path == "spec"
    columns = part.get("additionalPrinterColumns") or ()
    if "schema" in part:
        yield from schemarules.validate(part["schema"], schema_path, has_status=has_status)
    yield from _subresources(part.get("subresources") or {}, f"{path}.subresources")
    for index, column in enumerate(columns):
        yield from _column(column, f"{path}.additionalPrinterColumns[{index}]")
    fields = part.get("selectableFields")
    if not fields:
        return
    schema = schema_of(part)
    if schema is None:
        # Upstream says the contrary of what it means.
        text = "validations.schema is included" if is_shared else "`version.schema.openAPIV3Schema` is not included"
        yield invalid_value(f"{path}.selectableFields", "", f"may only be set when {text}")
        return
    unreadable = invariants.unreadable(schema)
    if unreadable is not None:
        yield invalid_value(f"{path}.schema.openAPIV3Schema", "", unreadable)
        return
    yield from _selectable(fields, schema, f"{path}.selectableFields")


def _names(given: Object, path: str) -> Iterator[FieldError]:
    for field in ("plural", "singular"):
        name = given.get(field, "")
        problems = ",".join(names.dns1035_label(name)) if name else ""
        if problems:
            yield invalid_value(f"{path}.{field}", name, problems)
    for field in ("kind", "listKind"):
        name = given.get(field, "")
        problems = ",".join(names.dns1035_label(name.lower())) if name else ""
        if problems:
            yield invalid_value(f"{path}.{field}", name, f"may have mixed case, but should otherwise match: {problems}")
    yield from _labels(given.get("shortNames") or (), f"{path}.shortNames")
    if given.get("kind") and given["kind"] == given.get("listKind"):
        yield invalid_value(f"{path}.listKind", given["listKind"], "kind and listKind may not be the same")
    yield from _labels(given.get("categories") or (), f"{path}.categories")


def _labels(given: Iterable[str], path: str) -> Iterator[FieldError]:
    for index, name in enumerate(given):
        problems = ",".join(names.dns1035_label(name))
        if problems:
            yield invalid_value(f"{path}[{index}]", name, problems)


# Columns, subresources, selectable fields


def _json_path(path: str, where: str) -> list[FieldError]:
    if not path.startswith("."):
        return [invalid_value(where, path, "must be a simple json path starting with .")]
    return []


def _subresources(subresources: Object, path: str) -> Iterator[FieldError]:
    scale = subresources.get("scale")
    if scale is None:
        return
    for field, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        where, value = f"{path}.scale.{field}", scale.get(field, "")
        if not value:
            yield required(where)
            continue
        problems = _json_path(value, where)
        if not problems and not value.startswith(root):
            problems = [invalid_value(where, value, f"should be a json path under {root[:-1]}")]
        yield from problems
    where, value = f"{path}.scale.labelSelectorPath", scale.get("labelSelectorPath") or ""
    if value:
        problems = _json_path(value, where)
        if not problems and not value.startswith((".spec.", ".status.")):
            problems = [invalid_value(where, value, "should be a json path under either .spec or .status")]
        yield from problems


def _column(column: Object, path: str) -> Iterator[FieldError]:
    if not column.get("name"):
        yield required(f"{path}.name")
    type_, form, json_path = (column.get(field, "") for field in ("type", "format", "jsonPath"))
    text = f"must be one of {','.join(COLUMN_TYPES)}"
    if not type_:
        yield required(f"{path}.type", text)
    elif type_ not in COLUMN_TYPES:
        yield invalid_value(f"{path}.type", type_, text)
    if form and form not in COLUMN_FORMATS:
        yield invalid_value(f"{path}.format", form, f"must be one of {','.join(COLUMN_FORMATS)}")
    if not json_path:
        yield required(f"{path}.JSONPath")
    else:
        yield from _json_path(json_path, f"{path}.JSONPath")


def _selectable(fields: list[Object], schema: Object, path: str) -> Iterator[FieldError]:
    seen: set[tuple[str, ...]] = set()
    for index, field in enumerate(fields):
        where, json_path = f"{path}[{index}].jsonPath", field.get("jsonPath", "")
        if not json_path:
            yield required(where)
            continue
        try:
            steps, found = fieldpath.resolve(json_path, schema, may_quote=False)
        except ValueError as error:
            yield invalid_value(where, json_path, f"is an invalid path: {error}")
            continue
        if steps[0] == "metadata":
            yield invalid_value(where, json_path, "must not point to fields in metadata")
        if (found or {}).get("type") not in ("string", "boolean", "integer"):
            yield invalid_value(where, json_path, _SELECTABLE)
        if steps in seen:
            yield duplicate(where, json_path)
        seen.add(steps)
    if len(seen) > SELECTABLE_LIMIT:
        yield too_many(path, len(seen), SELECTABLE_LIMIT)


# Conversion


def _conversion(conversion: Object, path: str) -> Iterator[FieldError]:
    strategy, webhook = conversion.get("strategy", ""), conversion.get("webhook") or {}
    if not strategy:
        yield required(f"{path}.strategy")
    elif strategy not in STRATEGIES:
        yield not_supported(f"{path}.strategy", strategy, STRATEGIES)
    config, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    if strategy != "Webhook":
        text = "should not be set when strategy is not set to Webhook"
        if config is not None:
            yield forbidden_field(f"{path}.webhookClientConfig", text)
        if versions:
            yield forbidden_field(f"{path}.conversionReviewVersions", text)
        return
    if config is None:
        yield required(f"{path}.webhookClientConfig", "required when strategy is set to Webhook")
    else:
        yield from clientconfig.validate(config, f"{path}.webhookClientConfig")
    yield from _review_versions(versions, f"{path}.conversionReviewVersions")


def _review_versions(versions: list[str], path: str) -> Iterator[FieldError]:
    if not versions:
        yield required(path)
        return
    seen: set[str] = set()
    for index, version in enumerate(versions):
        if version in seen:
            yield invalid_value(f"{path}[{index}]", version, "duplicate version")
            continue
        seen.add(version)
        yield from (invalid_value(f"{path}[{index}]", version, text) for text in names.dns1035_label(version))
    if not seen & set(REVIEW_VERSIONS):
        yield invalid_value(path, versions, f"must include at least one of {', '.join(REVIEW_VERSIONS)}")


def _config(spec: Object) -> Object:
    found: Object = ((spec.get("conversion") or {}).get("webhook") or {}).get("clientConfig") or {}
    return found


def _has_invalid_bundle(spec: Object) -> bool:
    return bool(_config(spec).get("caBundle")) and any(_bundle(spec))


def has_usable_bundle(definition: Object) -> bool:
    """Whether the certificates by which a conversion webhook is known are there as far as they are given."""
    return not _has_invalid_bundle(definition["spec"])


def _bundle(spec: Object) -> Iterator[FieldError]:
    bundle = _config(spec).get("caBundle")
    if not bundle:
        return
    try:
        ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
    except (ssl.SSLError, ValueError) as error:
        text = f"unable to load root certificates: unable to parse bytes as PEM block: {error}"
        if isinstance(error, ssl.SSLError):
            text = "unable to load root certificates: unable to parse bytes as PEM block"
        yield invalid_value("spec.conversion.webhookClientConfig.caBundle", bundle, text)
