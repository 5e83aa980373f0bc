"""Words to build contexts of."""

from __future__ import annotations


def words(text: str) -> list[str]:
    return text.split()


ADJECTIVES = words(
    "able agile amber ancient arctic auburn autumn azure bashful bitter blank bold brave brisk broad "
    "bronze calm candid careful cheerful chilly civic clever cloudy coastal copper coral cosmic crisp "
    "curious damp dapper daring dense distant dusty eager early earnest elder emerald endless fabled "
    "fancy fertile fierce final floral fluent foggy formal frosty gentle gilded glossy golden grand hasty "
    "hazel hidden hollow honest humble icy idle ivory jagged jolly keen kindly lavish level lively lofty "
    "lonely lucid lunar mellow merry misty modest mossy muted narrow nimble noble northern obscure olive "
    "open opal orderly patient pearly placid plain polar polite proud quaint quiet rapid rocky royal "
    "rustic sable sandy scarlet serene shady silent silver sleek slender smooth solar solemn sturdy "
    "subtle sunny swift tender tidy timid tranquil upper urban velvet vivid warm wild windy wintry wise "
    "witty woolen young"
)

NOUNS = words(
    "acorn anchor anvil apron arch arrow atlas badge barge barrel basin beacon bell bench blanket bloom "
    "boulder bramble breeze brick bridge brook bucket buckle cabin cactus candle canoe canyon carpet "
    "cavern cedar chapel chisel cliff clover cobble comet compass copse cottage cradle crane crate creek "
    "crystal curtain dagger dome drum dune easel ember engine fable falcon feather fern ferry fiddle "
    "flute forge fountain garden garnet glacier goblet grove hammer harbor harp hatchet hedge helmet "
    "heron hinge island jacket jasper kettle kiln ladder lagoon lantern lattice ledger lemon lens lever "
    "lily locket loom magnet mantle maple marble meadow medal mill mirror mortar needle nest nutmeg oar "
    "oasis orchard oven paddle parcel parlor pebble pepper piano pillar plank plaza plume pocket prairie "
    "prism pulley quarry quill quilt raft rafter raven reef ribbon river rudder saddle saffron satchel "
    "scarf shelf shovel sickle signal sketch spindle spire stable statue stove summit tablet tavern "
    "temple thicket thimble thistle timber torch tower trellis trumpet tunnel turnip valley vase violin "
    "wagon walnut whistle willow window"
)

FIRST_NAMES = words(
    "Ada Akira Alba Amara Anton Astrid Bela Bruno Carla Chidi Clara Dario Daria Elena Elif Emil Esther "
    "Felix Fiona Goran Greta Hana Hugo Ida Imran Ines Ivan Jana Jonas Kaito Karin Leila Leon Lucia Magnus "
    "Malik Marta Mira Nadia Nils Noor Olga Omar Pablo Petra Priya Quentin Rafael Ravi Rosa Samir Selma "
    "Stefan Tamar Tariq Theo Uma Viktor Vera Walter Wanda Xenia Yusuf Zara"
)

LAST_NAMES = words(
    "Abbott Almeida Andersen Baker Banerjee Becker Bianchi Brandt Castro Chen Costa Dalton Diaz Dubois "
    "Eriksen Evans Farkas Ferrari Fischer Garcia Gruber Haddad Hansen Hughes Ibrahim Ito Jansen Jensen "
    "Kaya Keller Khan Kowalski Larsen Leclerc Lopez Marino Mbeki Meyer Moreau Nakamura Nielsen Novak "
    "Okafor Olsen Patel Pereira Petrov Quinn Ricci Rossi Sato Schmidt Silva Singh Tanaka Torres Usman "
    "Varga Vogel Weber Wolf Yamada Young Zeman"
)

NOISE = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.\n"
"""RULER's haystack without a meaning: five sentences, one group a line."""

_ONSETS = words("b d f g k l m n p r s t v z br dr gr kr pl pr st tr")
_SYLLABLES = [onset + vowel for onset in _ONSETS for vowel in "aeiou"]


def coined(number: int) -> str:
    """A word of at least three syllables that no dictionary has, another one for each number.

    >>> coined(0), coined(1)
    ('bababa', 'bababe')
    """
    syllables: list[str] = []
    while number or len(syllables) < 3:
        number, rest = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[rest])
    return "".join(reversed(syllables))
