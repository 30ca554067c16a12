"""Forms as a receiver reads them, with the parser of Python's mail library."""

from dataclasses import dataclass
from email import policy
from email.parser import BytesParser


@dataclass(frozen=True, slots=True)
class Field:
    """What a field of a form holds; `file` is the name of its file, None where it is no file."""

    content: bytes
    file: str | None
    media_type: str

    @property
    def text(self) -> str:
        return self.content.decode()


def fields(raw: bytes, content_type: str) -> dict[str, Field]:
    """Return the fields of a form by their names, in their order."""
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=policy.HTTP).parsebytes(head + raw)
    assert message.is_multipart(), raw[:200]
    found = {}
    for part in message.iter_parts():
        assert not part.defects, part.defects
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(name, str), part.items()
        assert isinstance(content, bytes), name
        assert name not in found, "each field once"
        found[name] = Field(content, part.get_filename(), part.get_content_type())
    return found
