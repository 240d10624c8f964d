"""The XMP of a delivered file: the IPTC properties by which channels and people learn how the picture was made.

The properties of AI systems are those of the IPTC Photo Metadata Standard 2025.1. The prompt and its writer belong to
the tenant, and are never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from PIL import Image

from packshot.contract.product import ProductSource

__all__ = ["XMP_KEY", "Origin", "source_type_of", "xmp_of"]

XMP_KEY = "XML:com.adobe.xmp"
"""The keyword of XMP in a PNG."""

_HEAD = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
_OPEN = (
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:packshot="urn:packshot:xmp:1"'
)
_QUOTE = {'"': "&quot;"}
_TAIL = '/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a delivered file comes from, as the file says it.

    `version` is the version of Packshot that made the picture, and `engine` the name of the engine that painted its
    scene; None for a plain background. `instance_id` is the file's name in its C2PA manifest, and `photo_ids` are those
    of the photos in it. `mark` is the watermark of a painted scene, or None. `product` says whose product it shows, and
    `whole` that no pixel of it is a photo's.
    """

    version: str
    engine: str | None = None
    instance_id: str = ""
    photo_ids: tuple[str, ...] = ()
    mark: int | None = None
    product: ProductSource = "locked"
    whole: bool = False

    @property
    def credit(self) -> str:
        """Whom the picture is credited to: what of it a model made."""
        if self.product == "generated":
            return "Product and scene made with AI" if self.whole else "Product made with AI"
        return "Made with Packshot" if self.engine is None else "Scene made with AI"


def xmp_of(source_type: str | None, origin: Origin | None) -> bytes:
    """The XMP packet with these properties; empty when there is nothing to say."""
    properties: dict[str, str] = {}
    if source_type:
        properties["Iptc4xmpExt:DigitalSourceType"] = source_type
    if origin is not None:
        properties["xmp:CreatorTool"] = f"Packshot {origin.version}"
        properties["photoshop:Credit"] = origin.credit
        if origin.product == "generated":
            properties["packshot:Product"] = origin.product
        if origin.engine is not None:
            properties["Iptc4xmpExt:AISystemUsed"] = f"Packshot, engine {origin.engine}"
            properties["Iptc4xmpExt:AISystemVersionUsed"] = origin.version
    if not properties:
        return b""
    written = "".join(f' {name}="{escape(value, _QUOTE)}"' for name, value in properties.items())
    return f"{_HEAD}{_OPEN}{written}{_TAIL}".encode()


def source_type_of(opened: Image.Image) -> str | None:
    """The IPTC digital source type in the XMP of a file that Packshot wrote, or None."""
    written = opened.info.get("xmp") or opened.info.get(XMP_KEY) or b""
    text = written.decode("utf-8", "replace") if isinstance(written, bytes) else str(written)
    _, found, rest = text.partition('DigitalSourceType="')
    return rest.partition('"')[0] if found else None
