"""What mattered, as lines for a terminal."""

from sweepkit.analysis.importance_result import Importance


def importance_text(result: Importance) -> str:
    """Return the importance as lines for a terminal."""
    lines = []
    width = max((min(40, len(share.name)) for share in result.shares), default=0)
    for share in result.shares:
        bar = "" if share.low is None or share.high is None else f"  [{share.low:6.3f}, {share.high:6.3f}]"
        lines.append(f"{share.name[:40]:<{width}}  {share.value:6.3f}{bar}  {share.verdict.value}")
    if result.floor is not None:
        lines.append(f"{'(noise floor)':<{width}}  {result.floor:6.3f}")
    for pair in result.interactions:
        state = "clear" if pair.clear else "not distinguishable"
        lines.append(f"{pair.a} x {pair.b}: {pair.value:+.3f} [{pair.low:+.3f}, {pair.high:+.3f}]  {state}")
    return "\n".join([*lines, *([""] if lines else []), *result.sentences])
