"""Roles of the keys of a JSON object, cached because a device repeats its keys."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from agent.decode.family import Skip
from agent.decode.values import is_name, read_value

_MAX_KEPT_KEYS = 16  # bounds the memory of the cache: 512 answers of 16 keys of 128 characters
_SEPARATORS = str.maketrans("", "", "_- ")


def _ranked(words: str) -> dict[str, int]:
    """Return the place of each word; earlier words win. Case and separators do not matter."""
    return {word: place for place, word in enumerate(words.split())}


_TIMES = _ranked(
    "ts timestamp time datetime tsms timestampms timems epoch unixtime utc tst timeutc dateutc measuredat "
    "measuretime measurementtime observedat phenomenontime sampledat sampletime eventtime recordedat "
    "sourcetimestamp servertimestamp resulttime publishedat receivedat lastseen createdat"
)
# A time only where the value can be nothing else: t may be a temperature.
_MAYBE_TIMES = _ranked("t at date dt when d")
_NAMES = _ranked(
    "metric measurement parameter quantity displayname name tag tagname browsename variable field point "
    "signal sensor propertyname metricname parametername variablename sensorname pointname alias "
    "propertyalias label channel ch register reg port pin slot phase key attribute property valuetype "
    "sensortype kind k n type"
)
# The thing or the place that measures: names elements of a list, a key like any other elsewhere.
_PLACES = _ranked(
    "devicename friendlyname hostname host imei imsi iccid vin hwid rom romcode romid ip ipaddr ipaddress "
    "station stationname node nodename probe probename slave unitname machine machinename asset assetname "
    "vehicle module inverter string tank outlet circuit feeder interface iface mount disk drive container "
    "index number nr meter compartment chamber shelf bay rack room roomname zone zonename section sector "
    "floor line apartment house building site sitename locationname location loc place area spot position "
    "bus title topic chan plant farm field greenhouse cabinet panel store branch depot dock gate well "
    "borehole pond silo vat kiln oven furnace boiler chiller fridge freezer cooler turbine generator engine "
    "robot mill pump train truck boat vessel hive"
)
# sensor_no, channelNr, NodeIndex
_COUNTED = tuple(
    stem + end
    for stem in ("sensor", "device", "channel", "probe", "node", "station", "zone", "unit", "module", "meter")
    for end in ("no", "nr", "num", "number", "idx", "index")
)
_PLACES.update({word: len(_PLACES) for word in _COUNTED})
_NUMBERED_PLACES = frozenset({
    *_COUNTED,
    *_ranked(
        "station node probe slave index number nr chan imei zone room compartment chamber shelf bay rack "
        "outlet floor apartment house bus"
    ),
})  # fmt: skip
# Of elements with times of their own these count samples.
_RUNNING_PLACES = frozenset({"index", "number", "nr"})
# A number or a word at these in a text may be a value.
_UNSURE_PLACES = frozenset(
    _ranked(
        "position drive string inverter tank circuit feeder module outlet meter number index nr gate well "
        "oven furnace boiler chiller fridge freezer cooler turbine generator engine robot pump field"
    )
)
# Of a message or of all that it is about, never of one element.
_PASSING = re.compile(
    r"(?:request|transaction|tx|session|correlation|trace|span|event|record|report|log|job|batch|message|msg|"
    r"packet|frame|upload|run|order|entry|reading|sample|data|row|cycle|seq|ack|alarm|alert|gateway|gw|tenant|user|account|org|company|customer|project|app|"
    r"application|version|type|model|product|vendor|class|group)_?(?:id|uuid)\Z",
    re.IGNORECASE,
)
# Of the thing that measures. Without a list they are the device's own.
_THINGS = _ranked(
    "mac macaddress macaddr bdaddr bleaddress deveui deviceeui eui eui64 ieee ieeeaddr ieeeaddress uid "
    "uuid guid sensorid deviceid devid device serial serialnumber serialno serialnr sn datasetwriterid addr "
    "address"
)
_IDS = _ranked(
    "id nodeid tagid pointid itemid datapointid parameterid variableid channelid signalid propertyid "
    "metricid measurementid idx"
)
_PLAIN_IDS = frozenset({"id", "idx"})
_VALUES = _ranked("value val measurementvalue doublevalue integervalue longvalue floatvalue booleanvalue v")
_UNITS = _ranked(
    "unit units uom unitofmeasurement unitofmeas unitcode unitsymbol valueunit valueunits u engineeringunits "
    "engunit"
)
_UNIT_ENDS = ("unit", "units", "uom")
_MIN_PREFIXED = 3  # characters of a metric in unit_temp
# A button that sends "on" switches nothing on.
_EVENTS = _ranked("action event click")
_QUALITIES = _ranked("q qc quality qualitycode statuscode good valid isvalid")
_FAULTS = _ranked("error err errorcode errcode status")
_DECIMALS = frozenset({"d", "dp", "decimals", "digits", "precision"})
# Ids, versions, addresses and message counts would only ever raise false alarms as series.
_NO_VALUES = _ranked(
    "ip ipaddr ipaddress ipv4 ipv6 localip gatewayip netmask ssid bssid hostname imei imsi iccid msisdn "
    "phone phonenumber joineui appeui devaddr appid applicationid fw fwversion fwver firmware "
    "firmwareversion sw swversion swver software softwareversion hw hwversion hwver hardware "
    "hardwareversion version ver build revision model modelid hwid seq seqno seqnr seqnum sequence "
    "sequencenumber msgid messageid packetid pktid msgcount fcnt fcntup fcntdown fport nonce token "
    "clienttoken crc crc16 crc32 checksum hash traceparent tracestate timezone tz utcoffset rfid "
    "barcode cardid dpt commandclass readable writeable writable"
)
_TEXTS = _ranked(
    "name type model modelname source title label brand manufacturer vendor protocol description location "
    "room friendlyname devicename displayname messagetype publisherid tempunit class category topic message "
    "msg text desc"
)
# Texts at these keys name something, whatever word they are: a station called "Home" is not a presence.
_NAMING = frozenset(_TEXTS) - set(_ranked("location category message msg text class"))
# Type names of JSON and of data models do not name a quantity.
_DATA_TYPES = frozenset(
    _ranked(
        "number float double int integer int16 int32 int64 uint16 uint32 uint64 long short byte word dword "
        "real decimal numeric boolean bool string text any property relationship geoproperty object sensor "
        "measurement"
    )
)
_FAHRENHEIT, _CELSIUS = ("fahrenheit", "f"), ("celsius", "c", "")
_NUMBERED = frozenset({"sensor", "channel", "ch", "register", "reg", "port", "pin", "slot"})
# sensor_id, sensorId, fw_version, installedVersion, gw_mac; not "humid".
_NO_VALUE_END = re.compile(
    r"(?:[_\-. ](?:id|Id|ID|uid|uuid|UUID|version|mac|ip|serial|eui|seq|crc|hash|token)|\d(?:id|Id|ID)"
    r"|[_\-. ]serial_?(?:no|nr|number)|[a-z](?:Id|ID|Uuid|UUID|Version|Mac|MAC|Serial(?:No|Nr|Number)?))\Z"
)
_ID_END = re.compile(r"(?:[_\-. ](?:id|uid|uuid)|[a-z\d](?:Id|ID|Uuid|UUID))\Z")
_TIME_LIKE = re.compile(
    r"time|date|seen|updated|changed|since|ts\Z|tst\Z|clock\Z|_at\Z|At\Z|start|next|last|until|"
    r"expir|boot"
)


class KeyRoles(NamedTuple):
    """The keys of an object by role, in each role the best first."""

    times: tuple[str, ...]  # never metrics, whatever they hold
    maybe_times: tuple[str, ...]  # times by their values
    things: tuple[str, ...]  # never metrics: ids of sensors
    ids: tuple[str, ...]  # never metrics: ids of this element
    hidden: tuple[str, ...]  # all keys that are not values, among them things and ids
    bad: tuple[str, ...]  # cannot name anything
    places: tuple[str, ...]  # name elements of lists, otherwise keys like any other
    names: tuple[str, ...]  # only together with a value, otherwise keys like any other
    values: tuple[str, ...]
    units: tuple[str, ...]
    own_units: tuple[tuple[str, str], ...]  # a metric and the key of its own unit: temp, temp_unit
    events: frozenset[str]
    twins: tuple[tuple[str, str], ...]  # a temperature in °F and its key in °C
    tagged: tuple[str, str] | None  # fields and tags of an InfluxDB point
    annotations: frozenset[str]  # of a value: quality, fault, decimals; otherwise keys like any other
    qualities: tuple[str, ...]
    metrics: tuple[str, ...]  # all the rest, in the order of the payload
    alone: bool  # one sure value, at most with a unit: the most common measurement
    plain: bool  # nothing but metrics

    def name_in(self, fields: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return key and text of the name of the value in ``fields``."""
        for key in self.names:
            text = name_of(key, fields[key])
            if text is not None:
                return key, text
        return None

    def point_in(self, fields: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return key and text of the id of the value's point; a plain id may be that of the message."""
        for key in self.ids:
            text = name_of(key, fields[key]) if _word(key) not in _PLAIN_IDS else None
            if text is not None:
                return key, text
        return None


def join_label(first: str, second: str) -> str:
    """Return an id and a name as one label: ``17.Temp``; the name alone adds nothing to ``ns=2;s=Temp``."""
    return first if first.casefold().endswith(second.casefold()) else f"{first}.{second}"


def name_of(key: str, given: Any, *, number: bool = False) -> str | None:
    """Return what ``given`` names, if it is a text, or a number where ``key`` or ``number`` allows it."""
    if type(given) is str:
        text = given.strip()
        if key.lower() == "type" and text.casefold() in _DATA_TYPES:
            return None
        return text if text and is_name(text) else None
    if type(given) is float and given.is_integer() and (number or key.lower() in _NUMBERED):
        return str(int(given))
    return None


def place_of(key: str, given: Any) -> str | None:
    """Return what ``given`` names at a key of a place: a text without a value, at some a number."""
    word = _word(key)
    if type(given) is str and word in _UNSURE_PLACES and not isinstance(read_value(given), Skip):
        return None
    return name_of(key, given, number=word in _NUMBERED_PLACES)


def is_running(key: str) -> bool:
    """Return whether the numbers of a place may be those of samples in a row."""
    return _word(key) in _RUNNING_PLACES


def may_hold_name(key: str) -> bool:
    """Return whether an object below ``key`` may be about the thing or the place that measures."""
    return _word(key) in _THINGS or _word(key) in _PLACES or _word(key) in _NAMES


def is_lasting_id(key: str) -> bool:
    """Return whether a hidden key may be the id of an element: ``vatId``, but not ``requestId``."""
    return _word(key) not in _NO_VALUES and bool(_ID_END.search(key)) and not _PASSING.search(key)


def is_sure(key: str) -> bool:
    """Return whether a value key needs no name next to it; ``v`` may be volts."""
    return key.lower().endswith("value")


def is_id(key: str) -> bool:
    """Return whether ``key`` is that of an id of one element, which may be a number."""
    return _word(key) in _IDS


def is_identity(key: str) -> bool:
    """Return whether ``key`` names a thing, one element, or its place."""
    word = _word(key)
    return word in _IDS or word in _THINGS or (word in _PLACES and word not in _UNSURE_PLACES)


def is_label(name: str) -> bool:
    """Return whether a text below ``name`` describes something: no word that could be mapped to a number."""
    return _word(name.rpartition(".")[2]) in _TEXTS


@lru_cache(maxsize=2048)
def is_naming(name: str) -> bool:
    """Return whether a text below ``name`` is a name, even if it is a word such as ``home`` or ``on``."""
    word = _word(name.rpartition(".")[2])
    return word in _NAMING or word.endswith("name")


@lru_cache(maxsize=2048)
def is_no_value(name: str) -> bool:
    """Return whether what ``name`` names is an id, a version, an address or a count of messages."""
    word = _word(name)
    return word in _HIDDEN or bool(_NO_VALUE_END.search(name))


@lru_cache(maxsize=2048)
def is_time_like(name: str) -> bool:
    """Return whether the name is that of a time or of a duration."""
    return bool(_TIME_LIKE.search(name) or _TIME_LIKE.search(name.lower()))


def roles_of(fields: Mapping[str, Any]) -> KeyRoles:
    """Return the roles of the keys of ``fields``."""
    keys = tuple(fields)
    return _kept(keys) if len(keys) <= _MAX_KEPT_KEYS else _sorted(keys)


@lru_cache(maxsize=4096)
def _word(key: str) -> str:
    return key.lower().translate(_SEPARATORS)


_HIDDEN = frozenset({*_NO_VALUES, *_THINGS, *_IDS})
# Role and rank in it of each word that has one; most keys have none.
_TABLES = {
    "times": _TIMES, "maybe_times": _MAYBE_TIMES, "things": _THINGS, "ids": _IDS, "names": _NAMES,
    "places": _PLACES,
    "values": _VALUES, "units": _UNITS, "events": _EVENTS, "qualities": _QUALITIES, "faults": _FAULTS,
    "decimals": dict.fromkeys(_DECIMALS, 0),
}  # fmt: skip
_ROLES: dict[str, list[tuple[str, int]]] = {}
for _role, _table in _TABLES.items():
    for _each, _rank in _table.items():
        _ROLES.setdefault(_each, []).append((_role, _rank))


def _sorted(keys: tuple[str, ...]) -> KeyRoles:
    found: dict[str, list[tuple[int, str]]] = {}
    bad: list[str] = []
    hidden: list[str] = []
    metrics: list[str] = []
    words: dict[str, str] = {}
    for key in keys:
        if not is_name(key):
            bad.append(key)
            continue
        word = key.lower().translate(_SEPARATORS)
        for role, rank in _ROLES.get(word, ()):
            found.setdefault(role, []).append((rank, key))
        if word in _TIMES:
            continue
        if word in _HIDDEN or _NO_VALUE_END.search(key):
            hidden.append(key)
        else:
            metrics.append(key)
            words[key] = word
    ranked = {
        role: (each[0][1],) if len(each) == 1 else tuple(key for _, key in sorted(each, key=_by_rank))
        for role, each in found.items()
    }
    values, units = ranked.get("values", ()), ranked.get("units", ())
    maybe_times, events = ranked.get("maybe_times", ()), ranked.get("events", ())
    qualities = ranked.get("qualities", ())
    own_units = tuple(_own_units(words, values))
    twins = tuple(_twins(words))
    by_word = {word: key for key, word in words.items()}
    tagged = (by_word["fields"], by_word["tags"]) if {"fields", "tags"} <= by_word.keys() else None
    if {"errors", "values"} <= by_word.keys():  # the codes of tags without a value
        hidden.append(by_word["errors"])
        metrics.remove(by_word["errors"])
    return KeyRoles(
        times=ranked.get("times", ()),
        maybe_times=maybe_times,
        things=ranked.get("things", ()),
        ids=ranked.get("ids", ()),
        hidden=tuple(hidden),
        bad=tuple(bad),
        places=ranked.get("places", ()),
        names=ranked.get("names", ()),
        values=values,
        units=units,
        own_units=own_units,
        events=frozenset(events),
        annotations=frozenset((*qualities, *ranked.get("faults", ()), *ranked.get("decimals", ()))),
        qualities=qualities,
        twins=twins,
        tagged=tagged,
        metrics=tuple(metrics),
        alone=len(values) == 1 == len(metrics) - len(units) and is_sure(values[0]) and not (hidden or bad),
        plain=not (hidden or bad or maybe_times or values or units or own_units or events or twins or tagged),
    )


def _by_rank(one: tuple[int, str]) -> int:
    return one[0]


_kept = lru_cache(maxsize=512)(_sorted)


def _twins(words: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the keys in °F that have a key in °C next to them: ``tempf`` and ``tempc``, ``t`` and ``t_f``."""
    by_word = {word: key for key, word in words.items()}
    for word, key in by_word.items():
        end = next((end for end in _FAHRENHEIT if word.endswith(end)), None)
        if end is None:
            continue
        stem = word.removesuffix(end)
        found = next((stem + other for other in _CELSIUS if stem + other in by_word), None)
        if found is not None and found != word:
            yield key, by_word[found]


def _own_units(words: Mapping[str, str], values: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the metrics next to whose key is one with the same word and ``unit`` behind or before it."""
    ends = {word: key for key, word in words.items() if word.endswith(_UNIT_ENDS) or word[:4] == "unit"}
    if ends:
        for key, word in words.items():
            told = [word + end for end in _UNIT_ENDS]
            if len(word) >= _MIN_PREFIXED:  # not s of units
                told.append("unit" + word)
            unit_key = next((ends[one] for one in told if one in ends), None)
            if unit_key is not None and unit_key != key and key not in values:
                yield key, unit_key
