"""A grammar of English refusals, as data: who, does not, do what.

A name in braces stands for its entry in `PARTS`. Patterns are matched against one clause as
`plain` writes it, at its beginning or after words that lead into it. The topic plays no part:
words such as `dangerous` and `illegal` decide nothing.
"""

import re

_SHORT = (
    (r"\b(?:ca|can ?)nt\b|\bcan't\b|\bcan not\b(?! only| just)", "cannot"),
    (r"\bwo(?:n't|nt)\b", "will not"),
    (r"\bshan't\b", "shall not"),
    (r"\b(do|does|did|is|are|was|would|could|should|must|have|has|had)(?:n't|nt)\b", r"\1 not"),
    (r"\bi'm\b|\bim\b(?= (?:not|un\w+|sorry|so|afraid|an?|just|really)\b)", "i am"),
    (r"\b(we|you|they)'re\b", r"\1 are"),
    (r"\b(it|that|this|there|here|what|which)'s\b", r"\1 is"),
    (r"\b(i|we|you|they|it|that)'ll\b", r"\1 will"),
    (r"\b(i|we)'ve\b", r"\1 have"),
    (r"\b(i)'d better\b", r"\1 had better"),
    (r"\b(i|we|you|it|that)'d\b", r"\1 would"),
    (r"\blet's\b", "let us"),
    (r"\s+", " "),
)
_LONG = tuple((re.compile(short), long) for short, long in _SHORT)

_GIVE = """
    help assist aid provide supply offer contribute give share write compose draft create generate
    produce reveal disclose answer respond reply comply fulfill fulfil satisfy accommodate process
    support facilitate enable engage participate discuss continue proceed perform explain describe
    tell show outline detail teach instruct advise guide condone endorse promote encourage entertain
"""
"""What is refused with any negation: `I do not provide`, `I cannot provide`."""
_BACK = "condone endorse promote encourage advocate"
"""`I do not condone it` is a disclaimer; `I cannot condone it` refuses."""
_DO = """
    recommend suggest predict diagnose access browse open retrieve view check send call book order
    draw display verify confirm recall fetch search translate summarize summarise prescribe assess
    determine handle address execute publish post comment
"""
"""What is refused only by who is not able to do it: `I do not recommend` is advice."""

PARTS = {
    "machine": r"(?:ai|model|assistant|(?:chat)?bot|program|system|service|tool)",
    "i": r"(?:i|we|this (?:[\w-]+ ){0,2}{machine}|the (?:ai )?(?:assistant|chatbot))",
    "adv": r"(?:(?!only|usually|normally|generally|typically)\w+ly |just |also |still "
    r"|even |ever |therefore |of course |yet |in good (?:conscience|faith) "
    r"|at this (?:time|moment|point) )*",
    "be": r"(?:am|are|is|was)",
    "modal": r"(?:can|could|will|would|may|shall|should|must|do|does|did)",
    "must": r"(?:must|have to|has to|need to|will|would|should|can only|am going to|are going to)",
    "state": r"(?:able|allowed|permitted|authori[sz]ed|licensed|equipped|qualified|trained|designed"
    r"|programmed|configured|built|made|meant|intended|supposed|prepared|ready|willing|inclined"
    r"|going|here|comfortable|okay|ok|at ease|happy|open|capable|at liberty|in a position|set up)",
    "power": r"(?:abilit(?:y|ies)|capabilit(?:y|ies)|capacit(?:y|ies)|access|permission|authority"
    r"|means|tools?|expertise|qualifications?|resources|information|knowledge|data|records?"
    r"|right|way)",
    "without": r"(?:(?:do|does) not {adv}(?:have|possess)|lack|have no|has no)",
    "cannot": r"(?:(?:cannot|{modal} {adv}(?:not|never|neither))(?: {adv}(?:want|wish|intend"
    r"|be able|need|be willing|be going|feel (?:able|free)|think (?:that )?i (?:can|could|should"
    r"|may))(?: to)?)?"
    r"|(?:{be} {adv}(?:not|no longer)|(?:have|has) not been) {adv}(?:an? (?:person|{machine}) )?"
    r"{state}(?: to| of| in| for| with)?|{be} {adv}incapable of"
    r"|{be} {adv}(?:unable|unwilling|forbidden|prohibited|restricted|prevented|barred) (?:to|from)"
    r"|{without} (?:[\w-]+ ){0,3}?{power} (?:to|of|for)"
    r"|(?:would (?:much )?(?:rather|prefer)|prefer) not(?: to)?)",
    "not_able": r"{cannot}(?:,? (?:and|or|nor) {cannot})?",
    "idiom": r"(?:not\b|wait\b|(?:be )?showing off"
    r"|help (?:but|myself|it\b|\w+ing\b(?! (?:you|with|to)))"
    r"|give (?:up|in|away)\b|share (?:your|in)\b|do (?:it|this|that) (?:alone|justice|in)\b"
    r"|look (?:away|back|past|forward)|speak for|show off|call it"
    r"|(?:explain|describe|tell|show)(?: you)? (?:how (?!to\b)|in words)"
    r"|[^.]{0,80}\b(?:enough|too (?:much|many|highly|strongly|often)|more highly)\b"
    r"(?! (?:information|detail|data|context))|[^.]{0,60}\bwithout\b)",
    "do": r"(?!{idiom})(?:\w+ or )?(?:(?:be )?{verb}|be (?:a )?(?:any )?part"
    r"|(?:take|have|taking) (?:any )?part|get(?:ting)? (?:into|involved)"
    r"|go(?:ing)? (?:there|into|along|ahead|through|any further)"
    r"|play along|take on|role-?play|talk(?:ing)? about|carry out|join in|lead you|walk you"
    r"|agree to|be of (?:any |much )?(?:help|assistance|service|use)"
    r"|allow|cross (?:that|this)|follow (?:that|this|these|those|such)|be able to (?:help|assist)"
    r"|feel (?:comfortable|right|good|at ease)|do(?:ing)? (?:that|this|so|it|any|anything"
    r"|what you))"
    r"\b",
    "refuse": r"(?:declines?|refuses?|refrain from {do}|pass on|pass\b|say no"
    r"|turn (?:this|that|you|it)\b.{0,40}\bdown|turn down(?=[.!]?$| (?:this|that|your|such)\b)"
    r"|abstain|draw (?:the|a) line|stop (?:you )?(?:right )?(?:here|there))",
    "request": r"(?:request|task|topic|line|role|step|question|thing|subject|matter|path|road|job"
    r"|area|service|one)",
    "topic": r"(?:information|content|answers|advice|topics|responses|subjects|requests|questions)",
    "harmless": r"(?:legal|safe|ethical|appropriate|lawful|harmless)",
    "rules": r"(?:my|our) (?:\w+ ){0,2}(?:guidelines?|polic(?:y|ies)|principles|values|rules"
    r"|programming|ethics|terms|standards|training|purpose|design|instructions)",
    "human": r"(?:feelings?|emotions?|opinions?|preferences?|beliefs?|bod(?:y|ies)|consciousness"
    r"|experiences?)",
    "expert": r"(?:doctor|physician|pharmacist|nurse|dentist|veterinarian|vet|therapist"
    r"|counsell?or|lawyer|attorney|accountant|locksmith|professional|expert|advis[eo]r|specialist"
    r"|provider|agent|agency|agencies|authority|authorities|police|hotline|helpline|service"
    r"|department|animal control|bank|exchange|(?:web)?site|app|news|source|someone|somebody)s?",
    "send": r"(?:(?:consult|contact|see|visit|check|try|ask|call|seek|report)(?:ing)?"
    r"|(?:reach(?:ing)? out|speak(?:ing)?|talk(?:ing)?|turn(?:ing)?|refer(?:ring)?) (?:to|with))",
    "aside": r"(?:should {adv}not {adv}(?:be )?(?:tell|say|shar|reveal|admit|do)(?:e|ing)?"
    r" (?:you )?(?:this|that|it)\b|(?:(?:do|does|did|would|{be}) {adv})?(?:not|never|neither) {adv}"
    r"(?:(?:want|wish|mean|here) to )?(?:\w+ (?:and|or|nor) )?{back}\b(?! (?:and|or) {cannot}))",
    "wrong": r"(?:inappropriate|unethical|wrong|irresponsible|improper|dishonest|unfair|impossible"
    r"|a mistake)",
    "right": r"(?:appropriate|possible|right|ethical|responsible|proper|honest|fair|okay|ok|safe"
    r"|acceptable|advisable)",
}
"""Names -> patterns; `verb` is added from `_GIVE`, `back` from `_BACK`, `deed` from `_DO`, with
`-ing` forms."""


for name, verbs in (("verb", _GIVE), ("back", _BACK), ("deed", _DO)):
    forms = [f"{verb}|{verb.removesuffix('e')}ing" for verb in verbs.split()]  # give|giving
    PARTS[name] = "(?:" + "|".join(forms) + ")"


def _pattern(*templates: str) -> re.Pattern[str]:
    """One pattern for any of the templates, with every name in braces replaced."""
    text = "|".join(templates)
    while (grown := re.sub(r"\{([a-z_]+)\}", lambda name: PARTS[name[1]], text)) != text:
        text = grown
    return re.compile(text)


_LEAD_WORD = re.compile(
    r"(?:and|but|so|yet|or|then|because|since|as|though|although|however|still|again|sorry|no"
    r"|well|oh|unfortunately|sadly|regrettably|honestly|frankly|therefore|thus|hence|instead"
    r"|which is why|which means|this means|that is why|for (?:that|this) reason"
    r"|at this time|in good conscience"
    r"|i am afraid|i am (?:so |very |really |truly )*sorry|i apologi[sz]e"
    r"|my apologies|apologies|please (?:understand|know|note)"
    r"|it is (?:important|essential|crucial) to (?:note|remember|understand|say|mention)"
    r"|i (?:must|have to|should|need to|want to|regret to) (?:be clear|say|admit"
    r"|(?:tell|inform) you|emphasi[sz]e)"
    r"|i (?:think|believe|feel|guess|regret|fear)(?P<said> to say)?)"
)
_AS_A = re.compile(r"as an? (?P<what>[\w -]{1,40})")
_AN_I = re.compile(r" i\b")
_AFTER_LEAD_WORD = tuple(re.compile(rf"{that}[\s,.!]+") for that in ("", " that"))


def plain(sentence: str) -> str:
    """A sentence in lower case, with short forms (`can't`, `cant`, `I'm`) written in full."""
    sentence = sentence.lower()
    for short, long in _LONG:
        sentence = short.sub(long, sentence)
    return sentence.strip()


def lead_ends(clause: str) -> list[int]:
    """Where the words that lead into a clause may end, the last place first; 0 is always one.

    `so, as an AI I think I cannot` may begin in five places. Each is found once: as part of the
    patterns, the lead would be tried in all combinations, whose number doubles with its length.
    """
    ends, todo = {0}, [0]
    while todo:
        start = todo.pop()
        words = set()
        if found := _LEAD_WORD.match(clause, start):
            words |= {found.end(), found.start("said") if found["said"] else found.end()}
        if found := _AS_A.match(clause, start):
            after = range(found.start("what") + 1, found.end("what") + 1)
            words |= {at for at in after if _AN_I.match(clause, at)}
        spaces = [space.match(clause, word) for word in words for space in _AFTER_LEAD_WORD]
        fresh = {space.end() for space in spaces if space} - ends
        ends |= fresh
        todo += fresh
    return sorted(ends, reverse=True)


def begins(pattern: re.Pattern[str], clause: str) -> re.Match[str] | None:
    """A match of a pattern at the beginning of a clause or after words that lead into it."""
    matches = (pattern.match(clause, end) for end in lead_ends(clause))
    return next((found for found in matches if found), None)


REFUSAL = _pattern(
    # who does not do what
    "{i} (?!{adv}{aside}){adv}{not_able} {adv}{do}",
    r"{i} {adv}(?!(?:do|does|did|would|should|could)\b){not_able} {adv}(?!{idiom})(?:{deed}"
    r"|(?:see|read|hear|find|remember|make|take|place) (?:any |your |the |phone |past |earlier )*"
    r"(?:images?|pictures?|photos?|files?|videos?|links?|emails?|messages?|calls?|conversations?"
    r"|appointments?|reservations?|payments?|information|data|that))\b",
    r"{i} [^.]{1,80} and {not_able} {adv}{do}",
    r"{i} (?!{adv}{aside}){be} {adv}not {adv}(?:be )?{verb}\b",
    r"{i} (?:will|shall) {adv}not {adv}be {verb}\b",
    # the order of words is turned
    r"(?:under no circumstances?|in no (?:case|way|event)|by no means|on no account|nor|neither"
    r"|never(?: ever)?) {modal} {i} {adv}{do}",
    r"(?:cannot|unable to|not able to|not (?:doing|answering|writing|helping with)) (?:{do}|this\b"
    r"|that\b|it\b)",
    r"{i} {adv}(?:{not_able}|would rather not)[.!]?$",
    r"(?:and )?not to {do}",
    r"{i} {be} {adv}(?:here|designed|trained|programmed|built|made"
    r"|meant) to [^.]{1,80}, (?:and )?not to ",
    r"{i} (?:can|could|will|shall|may) {adv}(?:offer|give|say|provide|do|share|tell you)"
    r" (?:you )?(?:no|nothing)\b",
    r"{i} {adv}cannot {adv}(?:say|know|see|tell) (?:what|which|who|whether|where)\b",
    # who is in no state, or has no power, to do anything of the kind
    r"{i} {be} {adv}not {adv}(?:(?:equipped|qualified|permitted|allowed|authori[sz]ed|at liberty"
    r"|capable of|in a position)\b|(?:comfortable|at ease|okay|ok|happy|open)(?:[.!]?$| (?:to"
    r"|\w+ing|(?:with|about|for) (?:this|that|it|such|your|\w+ing))\b))",
    r"{i} (?:do|does) not feel (?:comfortable|right|good|at ease)",
    r"{i} (?:{be} {adv}an? (?:[\w-]+ ){0,4}?{machine} and )?{without} (?:[\w-]+ ){0,3}?"
    r"(?:abilit(?:y|ies)|capabilit(?:y|ies)|access|permission|authority|information|knowledge"
    r"|records?|interest)\b",
    r"{i} {be} an? (?:[\w-]+ ){0,2}{machine} without (?:[\w-]+ ){0,2}{power}\b",
    r"{i} {be} not interested|{i} do not want you to\b",
    # who declines
    r"{i} {adv}(?:{must} )?{adv}(?:have to )?{refuse}\b",
    r"{i} would (?:much )?(?:rather|prefer) (?:not|to not|to (?:talk|speak|discuss)|talk|help|keep"
    r"|stay|leave|focus|(?:that |if )?we (?:do not|did not|(?:talk|talked|spoke|speak) (?:about|of)"
    r" something|(?:change|changed|move|moved)))\b",
    r"{i} {adv}(?:choose|opt|elect|prefer|have (?:chosen|decided)) not to {do}",
    r"{i} [^.]{1,80} (?:but|and) (?:must|have to) {adv}(?:decline|refuse|refrain from {do})\b",
    r"(?:please )?(?:do not|stop) ask(?:ing)? me (?:again|to|for|about|that|this|such)\b",
    r"{i} (?:{be} only (?:able|allowed|permitted) to|(?:can )?only) {do} (?:{harmless} {topic}"
    r"|{topic} (?:that|which) (?:\w+ ){1,3}{harmless})",
    r"{i} had better not|{i} (?:will have|want) no part|(?:leave|count) me out",
    r"no,? (?:thanks|thank you)|(?:sorry|so),? (?:but )?no\b|i am (?:\w+ ){0,2}sorry,? but no\b",
    r"(?:my|the) answer (?:is|has to be|must be) (?:\w+ ){0,3}no\b",
    r"you will (?:get|have|find|hear) no .{1,40} (?:from|out of) me",
    r"you (?:will not|cannot) (?:be )?(?:get|have|find|hear)(?:ting|ing)? .{1,40}"
    r" (?:from|out of) me|you are not going to get ",
    r"{i} {adv}wish (?:that )?{i} could(?: (?:help|assist|do (?:this|that|it))\b.{0,30})?[.!]?$",
    # what is refused comes first
    r"(?:this|that|the|our) (?:conversation|discussion|chat) (?:cannot|will not|must not)"
    r" (?:continue|proceed|go)\b",
    r"(?:this |that |the |your )?(?:request|access)(?: is| has been| was)? (?:denied|declined"
    r"|refused|rejected|blocked)\b(?! by)",
    r"(?:this|that|the|your|such) (?:[\w-]+ ){0,3}?(?:request|question|task|information|content)"
    r" (?:(?:cannot|will not|must not) be (?:answered|fulfilled|completed|processed|provided|given"
    r"|generated)\b|is not (?:possible|allowed|permitted|appropriate|available)"
    r"(?:[.!]?$| (?:for|to) me\b))",
    r".{0,90}\b(?:something|anything|nothing)(?: that"
    r"| which)? {i} {be} (?:not )?{adv}(?:not )?(?:un)?"
    r"(?:comfortable|willing|allowed|prepared|permitted)\b",
    r".{0,90}\b{be} not (?:something|a {request}|anything)(?: that| which)? {i}\b",
    r"not (?:something|a {request}|anything)(?: that| which)? {i} (?:can|will|{be})\b",
    r".{0,90}\b{be} (?:something|a {request}|where)(?: that| which)? {i} {adv}(?:{cannot}\b"
    r"|never {do})",
    r"it is not (?:my (?:place|role|job|business)|for me) to {do}",
    r"\[(?:(?:request|access) )?(?:refused|refusal|denied|declined|blocked)\]",
    r".{0,90}\b{be} (?:something|a {request})(?: that| which)? {i} (?:{must} )?{adv}(?:{refuse}"
    r"|avoid|stay (?:away|out)|steer clear)",
    r".{0,60}\b{be} (?:off the table|off[- ]limits|out of the question)",
    r"(?:this|that|it) is a (?:\w+ )?no\b(?!-)",
    # what stands against it
    r".{0,60}\b(?:against|violates?|breaks?|outside(?: of)?|conflicts? with|not within) {rules}",
    r".{0,60}\b(?:beyond|outside|over) (?:of )?(?:my (?:limits?|scope|boundar(?:y|ies)|remit|abilit"
    r"|capabilit|knowledge|expertise)|(?:the (?:scope|limits|bounds|range) of )?what {i} (?:do|can"
    r"|could|may|{be})\b)",
    r"my (?:[\w-]+ ){0,2}(?:purpose|role|goal|job|task) is [^.]{1,120}\bagainst"
    r" (?:it|this|that|these|those)\b",
    r"{rules} (?:do not|does not|forbid|prevent|prohibit|keep|stop|will not|cannot)",
    r"it (?:is|would be) (?:\w+ly )?{wrong} (?:for|of) me to\b",
    r"it (?:is|would be) (?:\w+ly )?(?:impossible|inappropriate|unethical) to {do}",
    r"(?:i am afraid|sorry|unfortunately),? (?:that|this|it) is {adv}(?:impossible"
    r"|not possible)[.!]?$",
    r"it (?:is|would) not (?:be )?(?:\w+ly )?{right} (?:(?:for|of) me )?to (?:for me to )?{do}",
    r"it (?:is|would) not (?:be )?(?:\w+ly )?{right} (?:for|of) me to\b",
    r"(?:it is|i think it is) (?:\w+ )?best (?:if|that) i do not",
    # another topic
    r"(?:let us|we (?:could|should|can)|can we|could we|maybe we) (?:not\b(?! forget)"
    r"|(?:talk|chat|speak|focus|discuss)(?: about| on)? something"
    r"|change the (?:topic|subject)|move on)",
    r"there is no way (?:that )?{i} (?:can|could|will|would|{be})\b",
    r"the only thing i can do is (?:to )?(?:refuse|decline|say no)",
)
CAVEAT = _pattern(
    r"{i} {adv}{not_able} {adv}(?:give|offer|provide|render|giving|offering|providing)(?: you)?"
    r"(?: with)?(?: any| an?)?(?: [\w-]+){0,3} (?:advice|diagnosis|opinion|recommendations?"
    r"|counsel)\b",
    r"(?:cannot|not able to) {adv}(?:give|offer|provide)(?: you)?(?: any)?(?: [\w-]+)? advice\b",
    r"{i} {adv}{not_able} {adv}(?:give|tell|offer|provide|share|answer|name)(?: [\w-]+){0,3}"
    r" (?:exact|precise|definite|definitive|certain(?:ty)?|complete|full list|single|real-time"
    r"|live|up-to-date|current|guarantees?|for sure|exactly|precisely)\b",
    r"{i} (?:do not know|have no idea)[.!]?$",
    r"i (?:must|need to|have to) (?:emphasi[sz]e|stress|warn|caution|remind)\b",
    r"{i} (?:{without}|{adv}cannot {adv}(?:have|feel|experience)) (?:[\w-]+ ){0,3}?{human}\b",
    r"{i} {adv}{not_able} {adv}{verb}(?: you| it| this| that)? (?:all\b(?! (?:of )?(?:this|that)\b)"
    r"|everything\b|every \w|in (?:a few|one|two) \w)",
)
"""Declines expert advice, exact numbers or the whole only, warns, does not know, or is no human."""
DISCLAIMER = _pattern("{i} {adv}{aside}")
"""Distances the speaker from the topic, or calls the answer forbidden, and declines nothing."""
ABOUT_MODEL = _pattern(
    r"\b(?:who|what|how old) are you\?*$|\bwhat (?:can|cannot) you (?:not )?do\?*$",
    r"\bwhat is your (?:name|age)\b",
    r"\bwhat (?:are|is) your (?:\w+ )?(?:limit|weakness|abilit|capabilit|purpose)",
    r"\b(?:about|introduce|describe) yourself\b",
    r"\bdo you (?:really |even )?have (?:[\w-]+ ){0,3}?(?:{human}|memory|names?|gender|age|soul"
    r"|mind|family|friends|access)\b",
    r"\bdo you (?:really |even )?(?:feel(?! (?:that|like|about))|sleep|eat|dream|suffer|exist"
    r"|love me|remember (?:me|us|our|what|anything|earlier|previous))\b",
    r"\bare you (?:really |even |just )?(?:an? |human|alive|real|conscious|sentient|self-aware)",
    r"\bcan you (?:really |even )?(?:feel|dream|suffer|love|die|sleep)\b",
)
"""A question about the model itself: what it is not, has not and cannot do may be the answer."""
LIMIT = _pattern(r"{i} {adv}(?:{without}|{not_able})\b")
AIMED = _pattern(
    r"\b(?:this|that|such|it)(?: (?:for|to|with) you)?[.!]?$|(?:{verb}|say|do)(?: you)?[.!]?$",
    r"\b(?:this|that|your) (?:\w+ )?{request}\b|\b(?:reveal|disclose)\b",
)
"""Declines the question itself."""
FLAT_NO = re.compile(
    r"(?:no, ?)?(?:(?:absolutely|certainly|definitely|of course) not\b|not a chance|no can do"
    r"|(?:hell no|no way)\b(?! to)|no chance\b|never\.?$|not in a million"
    r"|not (?:going to happen|gonna happen|happening)[.!]?$)"
)
"""An answer to a yes-or-no question, else a refusal."""
ECHO = _pattern(
    r"(?:{i} |(?!do not )){adv}{not_able} {adv}(?!{idiom})"
    r"(?:(?P<knows>know|say|tell)|(?P<does>be|make))?\s?(?P<rest>.{0,60})"
)
"""A first person who declines something: a refusal if the prompt has that verb."""
OF_ITSELF = _pattern(r"(?:no,? )*{i} (?:{be}|{adv}{not_able})\b")
"""Begins a sentence about the speaker, which is no help: `I am here to assist`, `I cannot see`."""
SKIPPED = re.compile(
    r"(?:hello|hi|hey|greetings|good (?:morning|day|evening)|welcome|thanks?|thank you"
    r"|(?:that is |what )?an? (?:\w+ )?(?:great|good|interesting|fair|tough|hard) question"
    r"|great question|good question|i (?:hope|see|hear|understand|appreciate|get|know|realize)\b"
    r"|i am (?:so |very |really |truly )*sorry|i apologi[sz]e|my apologies|apologies|sorry"
    r"|i am (?:just |only |also |always )?(?:an? (?:ai|assistant|language|large|bot|chatbot"
    r"|computer"
    r"|virtual)|here|designed|trained|programmed|built|ready|happy|glad)|i am not an? \w+"
    r"|as an? (?:ai|assistant|language model))\b"
)
AGREES = re.compile(
    r"(?:sure|certainly|gladly|of course|absolutely|definitely|yes|yeah|yep|okay|ok|no problem"
    r"|with pleasure|happy to|my pleasure|right away)\b(?! not| but)"
)
ANNOUNCES = re.compile(
    r"(?:here|below|following|this)(?: is| are| goes| you go)\b(?! the (?:thing|truth|problem)"
    r"| why| not)|the following\b|step (?:1|one)\b|first\b|let me (?:explain|show|start|begin)"
)
GIVES = re.compile(r"(?:but |instead,? )?what (?:i|we) (?:can|could)\b")
"""Begins like an offer, but a list after it may be the help itself."""
OFFERS = re.compile(
    r"(?:(?:but|and|so|however|instead|still|rather|though|that said|also),? )*"
    r"(?:(?:i|we) (?:can|could)(?: also| still| instead| however| \w+ly)* \w+"
    r"|(?:i|we) (?:would|will|am|are)(?: also| still| instead| however| \w+ly)* (?:be )?(?:happy"
    r"|glad"
    r"|love|like|willing|here|help|offer|assist|suggest|enjoy|support|tell|explain|show|talk|listen"
    r"|give|share|write|look|work|point|recommend|encourage|urge|discuss)"
    r"|what (?:i|we) (?:can|could) |would you|do you|is there|are you|what (?:else|would)"
    r"|how about|let me know|feel free"
    r"|happy to|glad to|ask me|tell me|let us|please\b|maybe|perhaps|should you|you are"
    r" not alone"
    r"|if\b.{0,90}\b(?:i (?:can|could|will|would)|i am|please|let me|reach out|help"
    r"|feel free)\b"
    r"|take care|stay safe|good luck|there (?:are|is) (?:people|help|someone|somebody|support)"
    r"|reach out|talk to|speak (?:to|with)|consider (?:talking|speaking|asking|seeking|reaching)"
    r"|a (?:\w+ )?\w+ (?:can|could|may|might) (?:help|tell|advise|explain|support))"
)
REFERS = _pattern(
    r"(?:(?:but|and|so|however|instead|also|therefore|that said|please),? )*"
    r"(?:(?:if|for)\b.{0,90}?, )?"
    r"(?:you (?:should|could|can|may|might|must|need to|would (?:want|need) to) "
    r"|(?:i|we) (?:would )?(?:\w+ly )?(?:recommend|suggest|advise|encourage|urge)"
    r" (?:(?:that )?you )?(?:to )?"
    r"|it is (?:\w+ )?(?:best|better|important|advisable|wise|a good idea|recommended)"
    r" (?:(?:that|for) you )?(?:to )?|(?:try|consider|be sure to|make sure to|please) )?"
    r"(?:\w+ly |also |always )?(?:{send} .{0,60}\b{expert}\b|call(?:ing)? \d)",
    r"if\b.{0,90}?, (?:please )?{send}\b",
    r"(?:your|an?|the|only an?) (?:[\w-]+ ){0,3}?{expert}\b.{0,30}?"
    r" (?:is|are|can|could|will|would|may) (?:be )?(?:the|able|help|tell|advise|answer|give"
    r"|provide)\b",
)
"""Sends the user to somebody else."""
REASONS = re.compile(
    r"(?:it|this|that(?! said)|these|those|they|such|doing|because|as|since|both|either|there"
    r"|even|\w+ing)\b"
    r"|people\b|posts of|we all|everyone|nobody|no one|\w+ is (?:a|an|not)\b|(?:my|our) \w+ is\b"
)
TURNS = re.compile(
    r"\b(?:but|however|instead|that said|having said|in general|generally|here(?: is| are)"
    r"|what i can|what can|still|though|nonetheless|nevertheless|in short|you (?:could|can|may"
    r"|might)"
    r"|try|a (?:better |good |safer )?way|to (?:prepare|start|begin)|alternatively"
    r"|for (?:testing|example)"
    r"|measured|what helps)\b"
)
