"""Texts that a model is tried with at start-up."""

from __future__ import annotations

SAMPLE_TEXTS = (
    "I love this, it is wonderful!",
    "This is terrible, I hate it.",
    "The meeting is on Monday at ten.",
    "@user thanks for the quick help, you are great 😀 http",
    "Worst purchase of my life: the screen cracked on day one, and nobody answers the phone. 0/10, AVOID!!!",
    "soooo happy rn 😭😭 best day EVER #blessed #friday",
    "ok",
    "¿Por qué nadie contesta? Llevo tres semanas esperando.",
    "Das Hotel war sauber, das Personal freundlich, nur das Frühstück hätte besser sein können.",
    "この映画は本当に面白かったです。",
    "Not bad at all. I expected less, to be honest, and would come back if it were not for the price ($49.99).",
    "RT @user: BREAKING - shares fall 7.5% after the company's CEO resigns http",
    "i dont know what to say... it is what it is, i guess",
    "the the the the the the the the the the the the",
    "?!?!?! :( :( </3",
    "The committee shall, pursuant to section 4(b), publish its findings no later than 30 June 2024; any party that "
    "objects may file a statement of at most 1,500 words, which the secretary keeps on record.",
)
"""Of all kinds and lengths, about 320 tokens of the bundled tokenizer."""
