"""Metric names: the word that people and models know, and the class of the metric.

A word is made of listed words only, whatever text a device puts into a name: nothing else may leave the site.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

MAX_NAME: Final = 128  # characters of a name that is looked at
MAX_PARTS: Final = 4  # of a word
MAX_SEGMENTS: Final = 4  # of a path, from its end
MIN_ENDING: Final = 5  # characters of a quantity at the end of a compound


class MetricClass(StrEnum):
    """The use of a metric's values."""

    READING = "reading"
    DIAGNOSTIC = "diagnostic"  # of the device itself: kept and shown, not judged
    NOT_A_VALUE = "not_a_value"  # an id, version, time, address, position or sequence number


# Quantity, its dimensions (agent.domain.units) behind the colon, and further spellings in lower case ASCII
# (ä is ae, é is e); English, German, French, Spanish, Dutch and what firmware writes.
_QUANTITIES: Final = """
temperature :temperature temp temps tmp temperatures temperatur temperaturen temperatuur temperatura
temperature : tc tf tempc tempf
humidity :fraction hum humid rh relhum feuchte feuchtigkeit luftfeuchte luftfeuchtigkeit
humidity : humidite humedad vochtigheid luchtvochtigheid vocht
pressure :pressure press baro barometer druck luftdruck pression presion druk luchtdruk
power :power,apparent,reactive pwr apower leistung wirkleistung puissance potencia vermogen
energy :energy,apparent_energy,reactive_energy,charge aenergy energie energia
voltage :voltage volt volts spannung voltaje spanning
current :current amp amps amperage ampere strom stromstaerke corriente stroom courant
frequency :frequency freq frequenz frequence frecuencia frequentie
illuminance :illuminance lux lx illumination luminosity helligkeit beleuchtungsstaerke luminosite
illuminance : eclairement luminosidad iluminancia lichtsterkte
irradiance :irradiance globalstrahlung einstrahlung
co2 :fraction eco2 kohlendioxid koolstofdioxide
co :fraction kohlenmonoxid
voc :fraction,mass_concentration tvoc vocs
pm :mass_concentration feinstaub fijnstof
pm1 :mass_concentration
pm10 :mass_concentration
pm2_5 :mass_concentration pm25
noise :sound,sound_A laerm geraeusch bruit ruido geluid
battery_voltage :voltage vbat vbatt batv battv batteryv batmv battmv batterymv ubat ubatt batteriespannung
battery :fraction,voltage batt bat akku accu batterie bateria batterij soc
level :fraction,length,volume fuellstand pegel wasserstand niveau nivel peil
flow :flow durchfluss durchflussmenge volumenstrom debit caudal debiet
volume :volume volumen
speed :speed,frequency geschwindigkeit vitesse velocidad snelheid drehzahl toerental
wind :speed viento
wind_speed :speed windspeed windgeschwindigkeit windsnelheid
gust :speed windboee boee rafale
rain :length,rain_rate rainfall regen niederschlag pluie lluvia neerslag
precipitation :length,rain_rate
distance :length entfernung abstand distancia afstand
depth :length tiefe profondeur profundidad diepte
height :length hoehe hauteur altura hoogte
weight :mass gewicht poids peso
mass :mass masse masa
moisture :fraction
soil_moisture :fraction soilmoisture bodenfeuchte bodenfeuchtigkeit bodemvocht
conductivity :conductivity leitfaehigkeit conductivite conductividad geleidbaarheid
dewpoint :temperature taupunkt dauwpunt
vibration :speed,acceleration schwingung trilling
acceleration :acceleration beschleunigung
torque :torque drehmoment
ph :acidity
turbidity :turbidity truebung
uv : uvi
door : tuer porte puerta deur
window : fenster fenetre ventana raam
motion : bewegung mouvement movimiento beweging pir
occupancy : praesenz presencia
presence : anwesenheit aanwezigheid
contact : kontakt
leak : leckage wasserleck fuite fuga lekkage
smoke : rauch fumee humo rook
valve : ventil vanne valvula klep
counter : zaehler zaehlerstand compteur contador meterstand
consumption :energy,power,volume,flow verbrauch consommation consumo verbruik
production :energy,power erzeugung ertrag yield opbrengst
output : relay relais
"""

# Words that go with a quantity: alone they are not enough to take a name apart.
_QUALIFIERS: Final = """
outdoor outer aussen exterieur exterior buiten
indoor innen interieur interior binnen
supply vorlauf aanvoer
return ruecklauf retour retorno
soil boden bodem sol suelo
water wasser eau agua
pump pumpe pompe bomba pomp
air luft lucht
room raum zimmer kamer piece
left links
right rechts
total gesamt totaal
average avg mittelwert
heating heizung chauffage verwarming
apparent
"""

# Further words of a name, as the prompt has always known them.
_OTHERS: Final = frozenset(
    """
    a ac absolute active alarm ambient amperage angle aqi area atmospheric back bottom brightness bus
    case cell charge charging chlorine circulation coil cold compressor concentration condensate
    condenser controller cooling cooler count cpu cycle daily day dc delta demand density dew
    differential direction discharge disk draw drain duration duty ec efficiency engine evaporator
    exhaust export fan feed fill filter force formaldehyde forward freezer front fuel gas grid ground
    heat high hot hour hours hz import index inlet input inside instant intake internal inverter light
    line lines liquid load low lower luminance main mains max mean memory min minute mold motor nh3 no2
    o2 o3 oil outlet outside oxygen ozone panel particles peak phase pipe point position probe pulse pv
    radiation radon rate reactive relative reservoir resistance reverse rpm runtime salinity setpoint
    shaft so2 solar sound stage static status steam storage strength suction surface sv switch system t
    tank target tension tilt time top turbidity upper usage utilization value velocity viscosity vpd
    wall x y z zone
    """.split()  # noqa: SIM905 - two hundred words read best so
)

_DIAGNOSTICS: Final = """
linkquality lqi
rssi rxrssi
snr rxsnr lsnr
signal
uptime uptimesec
heap freeheap
wifi wlan
loadavg cpuload load1 load5 load15
ram
bssid ssid
hops hoplimit hopstart hopsaway
airutiltx channelutilization
reboots restarts bootcount mqttcount
"""

# At the end of a word or of a name: a contact that is on when something is wrong.
_ALARMS: Final = frozenset({"leak", "smoke", "gas", "tamper", "monoxide"})

# Parts of the names of metrics that report whether the device itself is well.
_HEALTH: Final = frozenset(
    """
    error errors err fault faults faulty failure failures failed fail problem problems alarm alarms
    warning warnings trouble defect defective broken ok valid healthy health fehler stoerung stoerungen
    defekt alarme erreur erreurs panne defaut fallo fallos averia alarma storing storingen fout fouten
    """.split()  # noqa: SIM905 - as above
)

_NOT_VALUES: Final = frozenset(
    """
    id ids uid uuid guid mac imei imsi iccid serial serialnumber sn eui deveui devaddr address addr ip
    port fport version ver firmware fw build revision fcnt framecounter seq seqno sequence nonce tst
    timestamp ts unixtime epoch code errorcode lat lon lng latitude longitude checksum crc hash token
    """.split()  # noqa: SIM905 - as above
)


def _table(text: str) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Return spelling -> word, and word -> dimensions."""
    words: dict[str, str] = {}
    dimensions: dict[str, tuple[str, ...]] = {}
    for line in text.split("\n"):
        word, *spellings = line.split() or ("",)
        if spellings and spellings[0].startswith(":"):
            fitting = tuple(one.replace("_", " ") for one in spellings.pop(0)[1:].split(",") if one)
            dimensions.setdefault(word, fitting)
        for spelling in (word, *spellings) if word else ():
            words.setdefault(spelling, word)
    return words, dimensions


_QUANTITY, DIMENSIONS = _table(_QUANTITIES)
_DIAGNOSTIC, _ = _table(_DIAGNOSTICS)
_NOUNS: Final = _QUANTITY | {word: word for word in ("linkquality", "rssi", "snr", "signal", "uptime")}
_WORDS: Final = {word: word for word in _OTHERS} | _table(_QUALIFIERS)[0] | _NOUNS
_ENDINGS: Final = sorted(
    {one for one in _QUANTITY if len(one) >= MIN_ENDING} - {"press", "temps"} | {"temp"},
    key=len,
    reverse=True,
)
_VOLTAGE_UNITS: Final = frozenset({"v", "mv"})
_LETTERS: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
_SEGMENT: Final = re.compile(r"[./:]+")
_SPLIT: Final = re.compile(r"[^a-z0-9]+")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NUMBERED: Final = re.compile(r"([a-z]{2,64})(\d{1,2})")
_INDEX: Final = re.compile(r"[a-z]?\d{1,2}")


class MetricName(NamedTuple):
    """Word and class of a metric."""

    word: str | None  # listed words joined by ``_``, None where the name holds no known quantity
    kind: MetricClass
    plain: bool  # the name is the word, apart from case and separators


@lru_cache(maxsize=4096)
def look_up(name: str) -> MetricName:
    """Return word and class of a metric, by the last segments of its path."""
    if not (0 < len(name) <= MAX_NAME and name.isprintable()):
        return MetricName(None, MetricClass.READING, plain=False)
    folded = _fold(name)
    last = [segment for segment in _SEGMENT.split(folded) if segment][-MAX_SEGMENTS:]
    segments = [list(_parts(segment)) for segment in last]
    word = _whole(folded) or _from_segments(segments)
    kind = MetricClass.DIAGNOSTIC if word == "battery_voltage" else _classify(segments)
    said = "_".join(part for part in _SPLIT.split(folded.lower()) if part)
    return MetricName(word, kind, plain=said == word)


def is_alarm(name: str) -> bool:
    """Return whether a contact of this name is on when something is wrong, such as ``water_leak``."""
    word = look_up(name).word
    last = (word or name.casefold()).rsplit("_", 1)[-1]
    return last in _ALARMS


@lru_cache(maxsize=4096)
def is_of_health(name: str) -> bool:
    """Return whether a metric reports faults of its device, such as ``sensor_fault`` or ``dht_ok``."""
    return not _HEALTH.isdisjoint(_SPLIT.split(_CAMEL.sub("_", _fold(name)).lower()))


def name_for_people(name: str, longest: int = MAX_NAME) -> str:
    """Return a metric's word with its own name behind it, or its name alone where both are the same."""
    known = look_up(name)
    short = name[:longest]
    return short if known.word is None or known.plain else f"{known.word} ({short})"


def find_dimensions(name: str) -> tuple[str, ...]:
    """Return the dimensions of units that fit a metric, none where the name holds no quantity."""
    for part in reversed((look_up(name).word or "").split("_")):
        if part in DIMENSIONS:
            return DIMENSIONS[part]
    return ()


def _fold(name: str) -> str:
    """Return the name without accents; a letter that has no ASCII form stays."""
    if name.isascii():
        return name
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFC", name).translate(_LETTERS))
    return "".join(sign for sign in text if not unicodedata.combining(sign))


def _parts(text: str) -> Iterator[str]:
    """Split a segment into parts in lower case: ``supplyTemperature2`` is supply, temperature, 2."""
    joined = "".join(part for part in _SPLIT.split(text.lower()) if part)
    if joined in _NOUNS or joined in _DIAGNOSTIC or joined in _NOT_VALUES:
        yield joined
        return
    for part in _SPLIT.split(_CAMEL.sub("_", text).lower()):
        if part:
            yield from _pieces(part)


def _pieces(part: str) -> tuple[str, ...]:
    """Split a word and its number, and a compound such as ``vorlauftemperatur``."""
    if part in _WORDS or part in _DIAGNOSTIC:
        return (part,)
    numbered = _NUMBERED.fullmatch(part)
    if numbered and numbered[1] in _WORDS:
        return (numbered[1], numbered[2])
    ending = next((one for one in _ENDINGS if part.endswith(one)), None)
    return (part,) if ending is None else (part[: -len(ending)], ending)


def _whole(name: str) -> str | None:
    """Return the word of a name that is made of known words only."""
    parts = ["_".join(_SPLIT.split(name.lower())).strip("_")]
    if parts[0] not in _WORDS:
        parts = [
            piece for part in _SPLIT.split(_CAMEL.sub("_", name).lower()) if part for piece in _pieces(part)
        ]
    known = [_WORDS.get(part) or (part if _INDEX.fullmatch(part) else "") for part in parts]
    return _join(known) if all(known) else None


def _from_segments(segments: Sequence[list[str]]) -> str | None:
    """Return the last known words of the last segment that has a quantity among them."""
    after: list[str] = []
    for parts in reversed(segments):
        run = list(_last_run(parts))
        if not _NOUNS.keys().isdisjoint(run):
            if _QUANTITY.get(run[-1]) == "battery" and not _VOLTAGE_UNITS.isdisjoint(after):
                run.append("voltage")
            return _join(_WORDS.get(part, part) for part in run[-MAX_PARTS:])
        after = parts
    return None


def _last_run(parts: Sequence[str]) -> Iterator[str]:
    end = len(parts)
    while end and parts[end - 1] not in _WORDS:
        end -= 1
    begin = end
    while begin and (parts[begin - 1] in _WORDS or _INDEX.fullmatch(parts[begin - 1])):
        begin -= 1
    while begin < end and parts[begin] not in _WORDS:  # an index that something unknown had
        begin += 1
    yield from parts[begin:end]


def _join(parts: Iterable[str]) -> str | None:
    """Return the parts as one word; of one that is there twice the last one counts."""
    every = list(parts)
    last = {part: place for place, part in enumerate(every)}
    known = [part for place, part in enumerate(every) if last[part] == place or part not in _WORDS]
    while len(known) < len(every) and known[0] not in _WORDS:  # the index of the one that is left out
        del known[0]
    if not 1 <= len(known) <= MAX_PARTS or not any(part in _WORDS for part in known):
        return None
    return "_".join(known)


def _classify(segments: Sequence[list[str]]) -> MetricClass:
    """Return the class of the last part that has one."""
    for parts in reversed(segments):
        for part in reversed(parts):
            if part in _DIAGNOSTIC:
                return MetricClass.DIAGNOSTIC
            if part in _NOT_VALUES:
                return MetricClass.NOT_A_VALUE
            if part in _QUANTITY:
                return MetricClass.READING
    return MetricClass.READING
