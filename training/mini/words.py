"""Synonyms: words that people use, mapped to words of the scenes' vocabulary. An empty meaning drops the word."""

from __future__ import annotations

_MEANS: dict[str, str] = {
    "wood": "wooden oak pine timber plank planks board boards birch maple parquet bamboo teak",
    "walnut": "mahogany espresso chestnut rosewood cherrywood",
    "marble": "carrara quartz onyx countertop worktop granite",
    "slate": "stone rock basalt shale cobblestone pebble volcanic anthracite",
    "concrete": "cement plaster asphalt pavement terrazzo microcement industrial",
    "linen": "cotton fabric textile canvas burlap cloth tablecloth blanket towel wool woven napkin",
    "sand": "beach desert dune dunes sandy seaside shore coast",
    "paper": "cardboard seamless cyclorama card",
    "terrazzo": "mosaic",
    "grass": "turf pasture",
    "lawn": "yard",
    "steel": "aluminium aluminum chrome stainless iron",
    "metal": "metallic brass",
    "sea": "lake river water waves poolside pool",
    "sky": "clouds heaven",
    "curtain": "curtains drape drapes drapery velvet silk satin",
    "table": "tabletop desk counter shelf bench nightstand",
    "floor": "ground",
    "surface": "top base plinth podium pedestal stand",
    "brick": "bricks loft masonry",
    "tile": "tiles tiled bathroom subway ceramic kitchen",
    "garden": (
        "park forest outdoor outdoors nature meadow field backyard terrace spring summer jungle woods countryside"
    ),
    "foliage": "leaf leaves plant plants trees tree botanical greenery bush fern grass tropical",
    "night": "nighttime midnight nightclub bar party neon",
    "lights": "lamps bokeh lantern christmas festive",
    "city": "urban street downtown skyline",
    "room": "interior living bedroom office indoor indoors home house cafe restaurant lounge apartment",
    "window": "windows windowsill sill",
    "wall": "walls",
    "backdrop": "background scenery",
    "studio": "professional ecommerce catalogue catalog packshot",
    "soft": "diffuse diffused gentle overcast cloudy softbox mild subtle smooth natural",
    "hard": "harsh direct strong crisp dramatic spotlight contrasty sharp midday noon",
    "warm": "cosy cozy candlelight candlelit amber autumn morning sunrise",
    "golden": "gold honey dusk evening",
    "cool": "icy winter moonlight bluish arctic frosty nordic",
    "cold": "wintry snow snowy",
    "bright": "sunny sunlit airy clean fresh shiny",
    "daylight": "sunlight sun sunshine day",
    "neutral": "balanced white-balanced",
    "light": "lighting illumination glow lit rays beam",
    "left": "leftward",
    "right": "rightward",
    "behind": "rear back",
    "dark": "black moody shadowy deep charcoal",
    "blurred": "blurry defocused unfocused",
    "white": "ivory snow-white minimal minimalist plain-white",
    "grey": "gray silver graphite",
    "beige": "cream tan sandstone nude taupe ecru khaki brown pastel",
    "pink": "rose magenta blush fuchsia coral salmon lilac purple violet lavender",
    "blue": "azure navy turquoise teal cyan sky indigo aqua",
    "green": "olive mint sage emerald lime",
    "yellow": "lemon mustard ochre",
    "orange": "terracotta peach apricot red rust copper",
    "bottle": "flask wine beer shampoo lotion",
    "jar": "pot candle cream-jar honeypot",
    "mug": "tumbler",
    "cup": "coffee tea teacup saucer espresso-cup",
    "can": "tin soda",
    "tube": "toothpaste sunscreen",
    "box": "package packaging carton parcel",
    "vase": "sculpture pottery",
    "bowl": "dish plate",
    "perfume": "fragrance cologne",
    "soap": "bar-soap sponge",
    "glass": "crystal",
    "product": "item object goods shoe shoes sneaker bag watch toy lamp phone cosmetic cosmetics",
    "photo": "photograph picture image shot photography",
}
_SEVERAL = {
    "oceanside": "beach sand",
    "rainforest": "green foliage",
    "sunset": "sunset",
    "backlit": "light behind",
    "hardwood": "dark wood",
    "nighttime-city": "city lights",
    "daytime": "daylight",
    "windowlight": "soft light",
}
_DROPPED = (
    "the an of in at by to and from its this that some very nice beautiful elegant luxury premium stunning lovely "
    "high quality "
    "resolution detailed realistic photorealistic hd 4k 8k ultra style scene against over under near beside standing "
    "placed sitting "
    "resting modern rustic vintage classic simple pretty with- is are it"
)


def _synonyms() -> dict[str, str]:
    from training.scenes.words import all_words

    known = set(all_words())
    table = {word: meaning for meaning, words in _MEANS.items() for word in words.split()} | _SEVERAL
    table |= dict.fromkeys(_DROPPED.split(), "")
    return {
        word: meaning
        for word, meaning in table.items()
        if word not in known and all(part in known for part in meaning.split())
    }


SYNONYMS: dict[str, str] = _synonyms()
