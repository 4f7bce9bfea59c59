"""Tables of common words and simple facts, from which `tasks.tiny.rows` makes rows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Country:
    """A country, its capital, continent and main language."""

    name: str
    capital: str
    continent: str
    language: str


@dataclass(frozen=True, slots=True)
class Animal:
    """An animal: its kind, its number of legs in words, where it lives, what it eats, its young."""

    name: str
    kind: str
    legs: str
    home: str
    food: str
    young: str


@dataclass(frozen=True, slots=True)
class Job:
    """A worker, the place of work and what is done there."""

    name: str
    place: str
    work: str


def _rows(table: str) -> list[list[str]]:
    """Split a table with `|` between cells and one row per line."""
    return [[cell.strip() for cell in row.split("|")] for row in table.strip().splitlines()]


def _words(text: str) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(word.strip() for word in text.split(","))


COUNTRIES = tuple(
    Country(*row)
    for row in _rows("""
        France|Paris|Europe|French
        Germany|Berlin|Europe|German
        Italy|Rome|Europe|Italian
        Spain|Madrid|Europe|Spanish
        Portugal|Lisbon|Europe|Portuguese
        Poland|Warsaw|Europe|Polish
        Greece|Athens|Europe|Greek
        Sweden|Stockholm|Europe|Swedish
        Norway|Oslo|Europe|Norwegian
        Finland|Helsinki|Europe|Finnish
        Denmark|Copenhagen|Europe|Danish
        Ireland|Dublin|Europe|English
        Austria|Vienna|Europe|German
        Hungary|Budapest|Europe|Hungarian
        Romania|Bucharest|Europe|Romanian
        Bulgaria|Sofia|Europe|Bulgarian
        Croatia|Zagreb|Europe|Croatian
        Ukraine|Kyiv|Europe|Ukrainian
        Iceland|Reykjavik|Europe|Icelandic
        Egypt|Cairo|Africa|Arabic
        Morocco|Rabat|Africa|Arabic
        Kenya|Nairobi|Africa|Swahili
        Ghana|Accra|Africa|English
        Senegal|Dakar|Africa|French
        Ethiopia|Addis Ababa|Africa|Amharic
        Angola|Luanda|Africa|Portuguese
        Japan|Tokyo|Asia|Japanese
        China|Beijing|Asia|Chinese
        India|New Delhi|Asia|Hindi
        Thailand|Bangkok|Asia|Thai
        Vietnam|Hanoi|Asia|Vietnamese
        Nepal|Kathmandu|Asia|Nepali
        Mongolia|Ulaanbaatar|Asia|Mongolian
        Indonesia|Jakarta|Asia|Indonesian
        Iran|Tehran|Asia|Persian
        Iraq|Baghdad|Asia|Arabic
        Canada|Ottawa|North America|English
        Mexico|Mexico City|North America|Spanish
        Cuba|Havana|North America|Spanish
        Jamaica|Kingston|North America|English
        Brazil|Brasilia|South America|Portuguese
        Argentina|Buenos Aires|South America|Spanish
        Chile|Santiago|South America|Spanish
        Peru|Lima|South America|Spanish
        Colombia|Bogota|South America|Spanish
        Ecuador|Quito|South America|Spanish
        Australia|Canberra|Oceania|English
        New Zealand|Wellington|Oceania|English
    """)
)

ANIMALS = tuple(
    Animal(*row)
    for row in _rows("""
        dog|mammal|four|in a house|meat|puppy
        cat|mammal|four|in a house|fish|kitten
        horse|mammal|four|in a stable|hay|foal
        cow|mammal|four|on a farm|grass|calf
        sheep|mammal|four|in a field|grass|lamb
        goat|mammal|four|in the hills|leaves|kid
        pig|mammal|four|on a farm|corn|piglet
        lion|mammal|four|in the grassland|meat|cub
        tiger|mammal|four|in the jungle|meat|cub
        bear|mammal|four|in the forest|berries|cub
        wolf|mammal|four|in the forest|meat|pup
        fox|mammal|four|in the woods|mice|kit
        deer|mammal|four|in the forest|leaves|fawn
        rabbit|mammal|four|in a burrow|carrots|kit
        mouse|mammal|four|in a hole|seeds|pup
        elephant|mammal|four|in the grassland|leaves|calf
        monkey|mammal|four|in the trees|fruit|infant
        whale|mammal|no|in the sea|small fish|calf
        seal|mammal|no|on the coast|fish|pup
        bat|mammal|two|in a cave|insects|pup
        duck|bird|two|on a pond|plants|duckling
        goose|bird|two|on a lake|grass|gosling
        hen|bird|two|on a farm|corn|chick
        owl|bird|two|in an old tree|mice|owlet
        eagle|bird|two|in the mountains|meat|eaglet
        swan|bird|two|on a river|plants|cygnet
        penguin|bird|two|on the ice|fish|chick
        crow|bird|two|in the trees|seeds|chick
        frog|amphibian|four|in a pond|insects|tadpole
        snake|reptile|no|in the grass|mice|hatchling
        lizard|reptile|four|in the desert|insects|hatchling
        turtle|reptile|four|by the water|plants|hatchling
        shark|fish|no|in the sea|fish|pup
        salmon|fish|no|in the river|insects|fry
        bee|insect|six|in a hive|nectar|larva
        ant|insect|six|in a nest|seeds|larva
    """)
)

JOBS = tuple(
    Job(*row)
    for row in _rows("""
        teacher|school|teaches children
        doctor|hospital|helps sick people
        nurse|clinic|cares for patients
        baker|bakery|makes bread
        farmer|farm|grows food
        cook|kitchen|prepares meals
        pilot|airport|flies planes
        driver|city|drives a bus
        engineer|factory|builds machines
        scientist|laboratory|studies nature
        painter|studio|paints pictures
        writer|library|writes books
        gardener|garden|plants flowers
        lawyer|court|explains the law
        builder|street|builds houses
        sailor|harbor|sails a ship
        tailor|shop|makes clothes
        musician|theater|plays music
        judge|court|listens to both sides
        firefighter|town|puts out fires
    """)
)

COLORED = tuple(
    (row[0], _words(row[1]))
    for row in _rows("""
        green|grass, a leaf, a frog, a lime, a cucumber, a pea
        yellow|a lemon, a banana, butter, straw, a sunflower, corn
        red|blood, a tomato, a strawberry, a cherry, a fire engine, a rose
        blue|the sky, the sea, a sapphire, a blueberry
        white|snow, milk, salt, a cloud, chalk, flour
        black|coal, ink, a raven, the night, tar
        brown|earth, chocolate, coffee, wood, bread
        orange|a carrot, a pumpkin, an apricot
        gray|a stone, ash, an elephant, a rain cloud
        pink|a flamingo, a piglet
    """)
)

NUMBERS = _words(
    "zero, one, two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen,"
    "fourteen, fifteen, sixteen, seventeen, eighteen, nineteen, twenty"
)
DAYS = _words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
MONTHS = _words(
    "January, February, March, April, May, June, July, August, September, October, November,"
    "December"
)
NAMES = _words(
    "Anna, Ben, Clara, David, Emma, Farid, Grace, Hugo, Ines, Jack, Kim, Leo, Maria, Noah, Olga,"
    "Paul, Rosa, Sam, Tara, Yusuf"
)
PEOPLE = _words(
    "my friend, my sister, my brother, our teacher, the doctor, a young man, an old "
    "woman, the neighbor, a child, everyone"
)
FOODS = _words(
    "bread, soup, rice, cheese, an apple, a salad, pasta, a sandwich, fish, eggs, beans,"
    "a pear, cake, porridge"
)
DRINKS = _words("water, tea, coffee, milk, juice")
PLACES = _words(
    "the park, the market, the library, the hall, the school, the museum, the station,"
    "the garden, the office, the village, the kitchen, the old town"
)
TIMES = _words(
    "in the morning, in the evening, after lunch, before dinner, on Sunday, every day, at noon,"
    "at night, after work, on the weekend, in summer, in winter"
)
WEATHER = _words("sunny, rainy, cold, warm, windy, cloudy, snowy, foggy")
ADJECTIVES = _words(
    "small, old, new, big, clean, quiet, heavy, light, round, useful, pretty, warm, strong, good"
)
THINGS = _words(
    "book, key, lamp, chair, table, bag, letter, box, clock, bicycle, cup, coat, map,"
    "picture, ball, spoon, hat, phone"
)
FEELINGS = _words("happy, tired, sad, calm, proud, nervous, glad, curious, hungry, angry")
HOBBIES = _words(
    "reading, swimming, cooking, drawing, running, singing, dancing, gardening,"
    "cycling, painting, fishing, chess"
)
SUBJECTS = _words(
    "history, music, science, art, mathematics, geography, health, sport, nature,"
    "language, the weather, the law"
)
OPPOSITES = tuple(
    (row[0], row[1])
    for row in _rows("""
        hot|cold
        big|small
        fast|slow
        old|young
        happy|sad
        light|dark
        full|empty
        high|low
        hard|soft
        wet|dry
        early|late
        rich|poor
        open|closed
        clean|dirty
        near|far
        strong|weak
        true|false
        long|short
        loud|quiet
        easy|difficult
    """)
)
