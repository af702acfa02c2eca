"""The words that shops write above the columns of their charts, in six languages, and what each means."""

from collections.abc import Mapping
from enum import StrEnum

from wearon.sizing.chart import Unit
from wearon.sizing.garments import Column


class Other(StrEnum):
    """What stands in charts besides the measurements of a size chart."""

    NAME = "name"
    AGE = "age"
    COLLAR = "collar"
    UNUSED = "unused"


Meaning = Column | Other

WORDS: Mapping[Meaning, str] = {
    Column.CHEST: "chest, bust, breast, pit to pit, armpit to armpit, brust, brustumfang, oberweite, brustweite,"
    " poitrine, tour de poitrine, pecho, busto, torace, borst, borstomvang",
    Column.UNDERBUST: "underbust, under bust, below bust, rib cage, ribcage, band measurement, unterbrust,"
    " unterbrustumfang, unterbrustweite, dessous de poitrine, tour de dos, bajo pecho, sottoseno, onderborst",
    Column.WAIST: "waist, waistband, taille, taillenumfang, taillenweite, bundweite, bund, tour de taille, cintura,"
    " vita, giro vita, taillewijdte, middel",
    Column.HIP: "hip, hips, low hip, seat, hüfte, huefte, hüftumfang, hüftweite, gesäß, hanches, tour de hanches,"
    " bassin, cadera, fianchi, heup, heupwijdte",
    Column.SHOULDER: "shoulder, shoulders, shoulder to shoulder, shoulder width, across shoulder, across shoulders,"
    " schulter, schulterbreite, épaules, carrure, hombros, spalle, schouder, schouders",
    Column.INSEAM: "inseam, inside leg, inside leg length, inner leg, inner leg length, leg length, inleg,"
    " innenbeinlänge, schrittlänge, innenbein, entrejambe, tiro de pierna, entrepierna, interno gamba,"
    " binnenbeenlengte",
    Column.SLEEVE: "sleeve, sleeves, sleeve length, arm, arm length, ärmel, ärmellänge, armlänge, manche,"
    " longueur manche, longueur de manche, manga, manica, mouw, mouwlengte",
    Column.LENGTH: "length, body length, total length, back length, front length, centre back length, garment length,"
    " länge, gesamtlänge, rückenlänge, longueur, largo, lunghezza, lengte",
    Column.CUP: "cup, bust difference, difference, cup difference, bust minus underbust, chest minus underbust",
    Other.NAME: "size, sizes, label, size label, size code, cup size, band size, bra size, eu, eur, us, usa, uk, fr,"
    " int, intl, international, alpha, numeric, größe, groesse, grösse, konfektionsgröße, weite, talla,"
    " taglia, maat, band, jeans size",
    Other.AGE: "age, ages, years, months, alter, âge, edad, età, leeftijd",
    Other.COLLAR: "collar, neck, neck girth, kragen, kragenweite, halsweite, halsumfang, col, tour de cou, cuello,"
    " collo",
    Other.UNUSED: "height, body height, stature, körpergröße, körperhöhe, hauteur, stature, estatura, altura,"
    " altezza, lichaamslengte, thigh, knee, hem, rise, front rise, back rise, bicep, biceps, upper arm, cuff, wrist,"
    " calf, weight, torso, outseam, outside leg, oberschenkel, saum, saumweite, gewicht, poids, peso, leg opening,"
    " armhole, width, inside leg to hem, foot, head, hand, back, neck to waist, bust point, waist to hip,"
    " back waist length",
}
FLAT = frozenset({"flat", "half", "1/2", "halbe", "halber", "demi", "width", "pit", "armpit", "breite"})
"""Words that say: across the garment laid flat, so half of the girth."""
GARMENT = frozenset({"garment", "product", "item", "finished", "produkt", "artikel"})
BODY = frozenset({"body", "körper"})
_CHILDREN = (
    "kid, kids, kid's, kids', child, child's, children, children's, childrens, toddler, toddlers, babies, infant,"
    " infants, newborn, boys, boys', girls, girls', kinder, jungen, mädchen, enfant, enfants, fille, filles, garçon,"
    " garçons, bébé, niño, niños, niña, niñas, bambino, bambini, bambina, neonato, kinderen, jongens, meisjes"
)
CHILDREN = frozenset(_CHILDREN.split(", "))
"""Not "girl", "boy" and "baby": grown-ups buy boyshorts and baby tees."""

UNIT_WORDS = {
    **dict.fromkeys(("cm", "cms", "centimeter", "centimeters", "centimetre", "centimetres", "zentimeter"), Unit.CM),
    **dict.fromkeys(("in", "inch", "inches", "zoll", '"', "pouces", "pulgadas", "pollici"), Unit.INCH),
}
