"""German, French and Spanish words, mapped to words of the scenes' vocabulary. An empty meaning drops the word.

Words with another meaning in English or in another of these languages are left out: French `sol` is a floor, but
Spanish `sol` is a sun; `or`, `main`, `lit`, `lino`, `hell` and `son` are English. `wand` and `strand` are kept, because
their English meanings are rare in scenes.
"""

from __future__ import annotations

_MEANS: dict[str, str] = {
    "wood": "holz holzbrett eiche kiefer bois chêne madera roble",
    "wood table": "holztisch",
    "wood floor": "holzboden dielenboden",
    "walnut": "nussbaum walnuss noyer nogal",
    "marble": "marmor marbre mármol marmol",
    "marble table": "marmortisch marmorplatte",
    "slate": "schiefer stein ardoise pierre pizarra piedra",
    "concrete": "beton béton hormigón hormigon cemento",
    "linen": "leinen stoff tuch lin tissu toile tela",
    "sand": "strand sable plage arena playa",
    "paper": "papier papel",
    "grass": "gras wiese rasen herbe l'herbe pelouse césped cesped hierba",
    "steel": "stahl edelstahl acier acero",
    "metal": "metall métal",
    "sea": "meer ozean mer l'océan océan mar océano oceano",
    "sky": "himmel ciel cielo",
    "curtain": "vorhang gardine rideau cortina",
    "table": "tisch tischplatte mesa",
    "floor": "boden fußboden fussboden plancher suelo",
    "surface": "oberfläche oberflaeche untergrund superficie",
    "brick": "ziegel backstein brique ladrillo",
    "brick wall": "ziegelwand ziegelmauer backsteinwand",
    "tile": "fliese kachel fliesen kacheln carreaux carrelage azulejo baldosa",
    "garden": "garten wald jardin forêt foret jardín bosque",
    "foliage": "blätter laub pflanze pflanzen feuilles feuillage plante hojas follaje planta",
    "night": "nacht nuit noche",
    "lights": "lichter lumières luces",
    "city": "stadt ville ciudad",
    "room": "zimmer raum wohnzimmer chambre salon habitación sala",
    "window": "fenster fenêtre fenetre ventana",
    "wall": "wand mauer mur pared muro",
    "backdrop": "hintergrund arrière fondo",
    "soft": "weich weiche weiches weichem weichen sanft sanftes sanftem doux douce suave",
    "hard": "hart hartes hartem dur dure duro dura",
    "warm": "warmes warme warmem warmen chaud chaude cálido cálida calido calida",
    "cool": "kühl kühles kühlem kalt kaltes kaltem froid froide frío fría frio fria",
    "golden": "goldenes goldenem doré dorée dorado dorada",
    "bright": "helles hellem heller clair claire lumineux claro clara brillante",
    "light": "licht beleuchtung lumière lumiere luz iluminación",
    "soft warm light": "morgenlicht kerzenlicht",
    "golden light": "abendlicht",
    "daylight": "tageslicht sonne sonnenlicht soleil jour sonnig",
    "sunset": "sonnenuntergang abendsonne atardecer",
    "left": "links linken gauche izquierda",
    "right": "rechts rechten droite derecha",
    "in front of": "vor devant delante",
    "behind": "hinter dahinter derrière derriere detrás detras",
    "dark": "dunkel dunkler dunkles schwarz schwarzer schwarzes noir noire sombre negro negra oscuro oscura",
    "blurred": "unscharf verschwommen flou floue borroso",
    "white": "weiß weißer weißes weißem weiss weisser blanc blanche blanco blanca",
    "grey": "grau grauer graues gris grise",
    "beige": "sandfarben",
    "pink": "rosa rosafarben",
    "blue": "blau blauer blaues bleu bleue azul",
    "green": "grün grüner grünes gruen vert verte verde",
    "yellow": "gelb gelber gelbes jaune amarillo amarilla",
    "orange": "naranja",
    "bottle": "flasche bouteille botella",
    "cup": "tasse taza",
    "box": "schachtel karton boîte caja",
    "bowl": "schale schüssel bol cuenco",
    "glass": "glas verre vidrio",
    "product": "produkt produit producto",
    "studio": "estudio",
}
_DROPPED = (
    "auf einem einer einen eine ein eines mit und der das dem den des im vom von aus vorm hellen "
    "sur une un le la les de du avec et d'un d'une dans à au aux en "
    "el los las una unos con y sobre del al frente"
)


def foreign_words() -> dict[str, str]:
    """Foreign words and their meanings, words of the vocabulary separated by spaces; empty drops the word.

    The keys are lower case and NFC.
    """
    table = dict.fromkeys(_DROPPED.split(), "")
    return table | {word: meaning for meaning, words in _MEANS.items() for word in words.split()}


WORDS: dict[str, str] = foreign_words()
