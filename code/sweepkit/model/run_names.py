"""The name of a run for people: adjective-noun-number, as W&B names runs. Pure.

A name follows from the run's id and number, so the record need not hold it, every reader has the same, and a
retried run keeps its own.
"""

import hashlib

_ADJECTIVES = (
    "amber ancient autumn azure balmy bold brave breezy bright brisk calm celestial cerulean charmed classic clear "
    "cool copper cosmic crimson crisp curious dainty daring dashing deep deft devoted distant dry eager earnest easy "
    "effortless electric elated fair fanciful feasible fiery fine firm fluent fresh frosty gallant generous gentle "
    "genial glad gleaming glowing golden good grateful hardy helpful honest hopeful humble icy jolly jumping kind "
    "lemon light lilac lively logical lucky lunar magic major mild misty neat noble northern olive pleasant polar "
    "polished prime proud quiet rare ruby rural serene sleek smooth snowy soft solar spring stellar still stoic "
    "summer sunny super swift true upbeat valiant vibrant visionary vital warm wild winter wise wobbly young"
).split()
_NOUNS = (
    "aardvark armadillo bee bird blaze breeze brook bush butterfly cherry cloud cosmos darkness dawn deluge dew dragon "
    "durian dust eon feather field fire firefly flower fog forest frog frost galaxy glade glitter grass haze hill "
    "island lake leaf lion meadow microwave monkey moon morning mountain night oath paper pine planet plant plasma "
    "pond pyramid rain resonance river sea serenity shadow silence sky smoke snow snowball sound sponge star sun "
    "sunset surf terrain thunder totem tree universe valley violet vortex voice water waterfall wave wildflower "
    "wind wood yogurt"
).split()


def run_name(run_id: str, number: int) -> str:
    """Return the name of a run: two words that its id chooses, and its number.

    Args:
        run_id: The run's id.
        number: Its number in its sweep, 0-based.

    >>> run_name("k3x9q2ab", 4)
    'stoic-aardvark-4'
    """
    digest = hashlib.sha256(run_id.encode()).digest()
    adjective = _ADJECTIVES[int.from_bytes(digest[:4], "big") % len(_ADJECTIVES)]
    return f"{adjective}-{_NOUNS[int.from_bytes(digest[4:8], 'big') % len(_NOUNS)]}-{number}"
