"""Draws a trace as text: one line for each span, indented below its parent, its time as a bar."""

BLOCKS = " ▏▎▍▌▋▊▉█"


def in_order(spans):
    """Yields (depth, span), callers before what they call.

    With Zipkin's shared spans the caller and the called write one id each from its side; the called side then hangs
    below the caller's, and what the called service calls in turn hangs below it.
    """
    nodes = sorted(spans, key=lambda span: (span.get("timestamp", 0), span.get("kind") != "CLIENT"))
    by_id = {}
    for span in nodes:
        by_id.setdefault(span["id"], []).append(span)

    def parent(span):
        if span.get("kind") == "SERVER":
            callers = [other for other in by_id[span["id"]] if other is not span and other.get("kind") == "CLIENT"]
            if callers:
                return callers[0]
        above = by_id.get(span.get("parentId"), [])
        return next((other for other in above if other.get("kind") == "SERVER"), above[0] if above else None)

    children = {}
    for span in nodes:
        children.setdefault(id(parent(span)), []).append(span)

    def walk(above, depth):
        for span in children.get(id(above), []):
            yield depth, span
            yield from walk(span, depth + 1)

    return list(walk(None, 0))


def service(span):
    return span.get("localEndpoint", {}).get("serviceName", "?")


def what(span):
    """What the span did, in few words: Envoy puts method and URL in tags."""
    tags = span.get("tags", {})
    path = "/" + tags.get("http.url", "").split("://", 1)[-1].partition("/")[2]
    verb = "calls " + span.get("name", "?") + " " if span.get("kind") == "CLIENT" else ""
    return f"{verb}{tags.get('http.method', '')} {path}"


def bar(start, length, total, width):
    """A bar of `length` from `start`, both in the unit of `total`, on `width` columns, to an eighth of a column."""
    first = min(width - 1, int(start * width / total))
    eighths = max(1, round(length * width * 8 / total))
    full, rest = divmod(min(eighths, (width - first) * 8), 8)
    return " " * first + BLOCKS[8] * full + (BLOCKS[rest] if rest else "")


def draw(spans, width=100):
    """The trace of `spans` (Zipkin v2 JSON, parsed) as lines of at most `width` columns."""
    rows = in_order(spans)
    start = min(span.get("timestamp", 0) for span in spans)
    end = max(span.get("timestamp", 0) + span.get("duration", 0) for span in spans)
    labels = ["  " * depth + f"{service(span)}  {what(span)}" for depth, span in rows]
    column = max(len(label) for label in labels) + 2
    room = max(10, width - column - 10)
    lines = []
    for label, (_, span) in zip(labels, rows):
        duration = span.get("duration", 0)
        drawn = bar(span.get("timestamp", 0) - start, duration, max(1, end - start), room)
        lines.append(f"{label:<{column}}{drawn:<{room}}{duration / 1000:>7.1f} ms")
    return lines
