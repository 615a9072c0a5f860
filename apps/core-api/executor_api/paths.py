"""Ids in paths, exactly as they were stored: `/`, `%` and every character included."""

from starlette.convertors import Convertor, register_url_convertor


def unescaped(text: str) -> str:
    """Undoes what `guard.segmented` left escaped."""
    return text.replace("%2F", "/").replace("%25", "%")


class SegmentConvertor(Convertor[str]):
    """One segment, in which a slash stands escaped."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unescaped(value)

    def to_string(self, value: str) -> str:
        return value.replace("%", "%25").replace("/", "%2F")


class RestConvertor(Convertor[str]):
    """Everything to the end of the path; slashes may be escaped or not."""

    regex = ".+"

    def convert(self, value: str) -> str:
        return unescaped(value)

    def to_string(self, value: str) -> str:
        return value


def register() -> None:
    """Lets routes say `{execution_id:segment}` and `{name:rest}`."""
    register_url_convertor("segment", SegmentConvertor())
    register_url_convertor("rest", RestConvertor())
