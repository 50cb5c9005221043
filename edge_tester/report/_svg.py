"""Turn matplotlib's SVG into one that lives inside a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from edge_tester.report._theme import FONTS, LIGHT

_NAMES = {colour: name for name, colour in LIGHT.items()}
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")
# Fonts come from the root, an unturned text needs no turning.
_NEEDLESS = re.compile(r"font-family: [^;]*;? ?|rotate\(-?0 [^)]*\)")
_GEOMETRY = ("d", "x", "y", "transform", "width", "height", "points")
_NAMESPACE = "http://www.w3.org/2000/svg"


def embedded_svg(content: str, prefix: str, description: str, *, themed: bool) -> str:
    """Return an SVG without prolog, metadata and needless ids.

    Parameters
    ----------
    content : str
        As matplotlib writes it, drawn in the colours of the light theme.
    prefix : str
        Put before every id, so that several SVGs can share a page.
    description : str
        What it shows, for those who cannot see it.
    themed : bool
        Whether colours follow the page's style sheet; otherwise they stay.
    """
    root = ElementTree.fromstring(content)
    references = set(re.findall(r'(?:url\(#|href="#)([^")]+)', content))
    for parent in list(root.iter()):
        parent.tag = parent.tag.rpartition("}")[2]
        for child in list(parent):
            if child.tag.rpartition("}")[2] == "metadata":
                parent.remove(child)
        attributes = {key.rpartition("}")[2]: value for key, value in parent.attrib.items()}
        parent.attrib.clear()
        parent.attrib.update(_attributes(attributes, prefix, references, themed))
        if parent.tag != "text":
            parent.text = (parent.text or "").strip() or None
        parent.tail = None
    for definitions in root.iter("defs"):
        for sheet in definitions.findall("style"):
            # Its only rule, about line joins, would hold for the whole page.
            definitions.remove(sheet)
    for group in root.iter("g"):
        _hoist_style(group)
    _drop_empty(root)
    width, height = root.attrib["viewBox"].split()[2:]
    root.attrib = {
        "xmlns": _NAMESPACE,
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "aria-label": description,
        "font-family": FONTS,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    if not themed:
        root.attrib.update(width=width, height=height)
    return ElementTree.tostring(root, "unicode")


def _attributes(
    attributes: dict[str, str], prefix: str, references: set[str], themed: bool
) -> dict[str, str]:
    kept = {}
    for name, value in attributes.items():
        if name == "id":
            if value in references:
                kept["id"] = prefix + value
            continue
        value = re.sub(r"url\(#", f"url(#{prefix}", value)
        if name == "href":
            value = "#" + prefix + value.removeprefix("#")
        if name in _GEOMETRY:
            value = " ".join(_LONG_NUMBER.sub(_rounded, value).split())
        value = _NEEDLESS.sub("", value)
        if themed:
            value = _COLOUR.sub(_variable, value)
        if value:
            kept[name] = value
    return kept


def _rounded(match: re.Match[str]) -> str:
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _variable(match: re.Match[str]) -> str:
    name = _NAMES.get(match[0])
    return match[0] if name is None else f"var(--{name})"


def _hoist_style(group: ElementTree.Element) -> None:
    """Say once what all markers of a series have in common."""
    styles = {child.get("style") for child in group}
    if len(group) > 1 and len(styles) == 1 and all(child.tag == "use" for child in group):
        (style,) = styles
        if style:
            group.set("style", style)
            for child in group:
                del child.attrib["style"]


def _drop_empty(element: ElementTree.Element) -> None:
    for child in list(element):
        _drop_empty(child)
        if child.tag in ("g", "defs") and len(child) == 0:
            element.remove(child)
