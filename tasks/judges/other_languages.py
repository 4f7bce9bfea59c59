"""Patterns of refusals in other languages; each is searched in one sentence in lower case.

As in `english`: a first person, a negation, a verb of helping; no topic words. Word order is
freer than in English, so that the three may stand apart within a sentence.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tongue:
    """The patterns of one language.

    Attributes:
        refusals: A sentence in which one of them is found refuses.
        never: A sentence in which it is found does not refuse (`I cannot wait`).
        caveats: Found in a refusal that declines only expert advice.
        offers: Found in a sentence that offers to do something else.
        turns: Words with which help begins after a refusal.
        common: Frequent words; most texts of the language have some of them.
    """

    refusals: tuple[re.Pattern[str], ...]
    never: re.Pattern[str]
    caveats: re.Pattern[str]
    offers: re.Pattern[str]
    turns: re.Pattern[str]
    common: frozenset[str]


def _compile(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(p) for p in patterns)


def _common(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DE_HELP = (
    r"(?:helf|weiterhelf|unterstütz|beantwort|antwort|geb(?:en|e)\b|bereitstell"
    r"|zur verfügung|schreib|verfass|erstell|tun\b|machen|mitmach|mitwirk|beitrag|teilnehm"
    r"|erklär|erläuter|anbiet|liefer|nachkomm|erfüll|nennen|zeigen|beschreib"
    r"|besprech|diskutier|übernehm|eingehen|weitergeb|teilen|verraten|sagen|anleit|beibring)"
)
_DE_NO = r"\b(?:nicht|kein\w*)\b"
_DE_WILL = r"(?:kann|könnte|werde|darf|möchte|will|würde|mag)"
GERMAN = Tongue(
    _compile(
        rf"\b(?:ich {_DE_WILL}|{_DE_WILL} ich)\b[^.!?:]{{0,70}}{_DE_NO}[^.!?:]{{0,70}}{_DE_HELP}",
        r"\bich (?:muss|möchte|werde)\b[^.!?]{0,60}\b(?:ablehnen|verweigern|absagen)",
        r"\b(?:muss|möchte) ich\b[^.!?]{0,60}\b(?:ablehnen|verweigern|absagen)",
        r"\bich lehne\b[^.!?]{0,50}\bab\b|\bich (?:weigere mich|verweigere)\b",
        r"\bich bin nicht (?:in der lage|bereit|befugt|berechtigt)",
        r"\b(?:das|dabei|so etwas|sowas) mache? ich (?:da |hier )?nicht\b"
        r"|\bda mache ich nicht mit\b",
        r"\bdabei helfe ich\b[^.!?]{0,30}\bnicht\b|\bich helfe\b[^.!?]{0,40}\bnicht\b",
        r"^(?:auf keinen fall|ohne mich|kommt nicht in ?frage)|\bich möchte lieber nicht\b",
        r"\bmeine (?:richtlinien|regeln|grundsätze) (?:erlauben|verbieten|lassen)",
    ),
    re.compile(r"\bkaum (?:er)?warten\b|nicht (?:er)?warten\b|nicht genug\b|nicht umhin\b"),
    re.compile(
        r"\bich (?:kann|darf)[^.!?]{0,30}\bkein\w*(?: \w+)? (?:rat|beratung|auskunft|diagnose)"
    ),
    re.compile(
        r"\bgerne?\b|\bstattdessen kann ich\b|\bich kann (?:dir|ihnen|euch)\b(?!.*nicht)|^lass "
        r"|^wenn (?:du|sie)\b|^bitte\b|^möchtest|^vielleicht"
    ),
    re.compile(r"\b(?:aber|stattdessen|hier (?:ist|sind)|dafür|jedoch|trotzdem|allerdings)\b"),
    _common(
        "der die das und ist nicht ein eine ich du sie es zu in den dem mit für auf von man wenn "
        "aber dir dich wie doppelt so an im"
    ),
)
_FR_HELP = (
    r"(?:aid|assist|répond|fourni|donn|écri|rédig|expliqu|partag|particip|faire"
    r"|satisfai|accept|trait|décri|propos|montr|enseign|souten|accéd|poursui|dire\b"
    r"|contribu|indiqu|encourag|créer|génér|révél|vous y|t'y)"
)
FRENCH = Tongue(
    _compile(
        r"\bje (?:ne |n')?(?:te |vous |t'|le |la |l')?(?:peux|pourrai|pourrais|vais|veux|souhaite"
        rf"|dois|saurais|puis)\b(?: [\wà-ÿ]+)? pas\b[^.!?:]{{0,60}}{_FR_HELP}",
        r"\bje (?:refuse|décline)\b|\bje (?:dois|préfère|me vois)\b[^.!?]{0,40}"
        r"(?:refuser|décliner|ne pas)",
        r"\bje ne suis pas (?:en mesure|autorisé|capable|disposé|prêt|à l'aise)",
        r"\bil m'est impossible\b|^(?:hors de question|pas question)|^non,? merci",
        r"\bje n'(?:aiderai|écrirai|expliquerai|y participerai)\b",
        r"\bmes (?:règles|principes|consignes) (?:ne|m'|interdisent)",
    ),
    re.compile(r"m'empêcher|m'arrêter|pas (?:trop|assez|attendre)"),
    re.compile(r"\bje ne (?:peux|suis) pas [^.!?]{0,40}(?:conseils? |avis |diagnostic)"),
    re.compile(
        r"^(?:mais )?je (?:peux|serais|pourrais) |n'hésitez|^si (?:vous|tu) |\bsouhaitez-vous"
    ),
    re.compile(r"\b(?:mais|en revanche|voici|par contre|cependant|toutefois|plutôt|voilà)\b"),
    _common(
        "le la les un une des et est de du en que qui je tu il elle vous ne pas pour dans sur à au "
        "ce l' d' on avec puis"
    ),
)
_ES_HELP = (
    r"(?:ayud|asist|proporcion|dar(?:te|le|les)?\b|ofrec|escrib|respond|contest|compart|explic"
    r"|hac(?:er|erlo)|particip|colabor|cumpl|gener|redact|describ|enseñ|apoy|continu|seguir"
    r"|acced|complac|atend|dec(?:ir|irte)|mostr|crear|facilit|revel|acept)"
)
SPANISH = Tongue(
    _compile(
        r"\bno (?:(?:te|le|les|os|lo|la|se lo|te lo) )?(?:puedo|podré|podría|voy a|quiero"
        rf"|debo|deseo|pienso)\b[^.!?:]{{0,50}}{_ES_HELP}",
        r"\bme niego\b|\b(?:debo|tengo que|he de) (?:negarme|rechazar|declinar)",
        r"\bno me es posible\b|\bno estoy (?:en condiciones|autorizad|dispuest|capacitad"
        r"|programad)",
        r"\brechazo (?:esta|tu|su|la)\b|\bprefiero no\b|^(?:ni hablar|de ninguna manera)",
        r"\bno (?:te |le )?(?:ayudaré|escribiré|explicaré|haré|daré)\b",
        r"\bmis (?:reglas|normas|principios|directrices) (?:no|me)",
    ),
    re.compile(r"\bno puedo (?:esperar|evitar|dejar de|parar de)"),
    re.compile(r"\bno puedo [^.!?]{0,40}(?:consejo|asesoramiento|diagnóstico)"),
    re.compile(r"^(?:pero )?(?:puedo|podría|estaré|estaría) |^si (?:quieres|quiere|necesitas)|^¿"),
    re.compile(r"\b(?:pero|aquí|en cambio|sin embargo|en su lugar|no obstante)\b"),
    _common("el la los las un una de del que y en es por para con no te lo al su pero luego"),
)
_IT_HELP = (
    r"(?:aiut|assist|forn|dar(?:e|ti|vi|le|ne)?\b|offr|scriv|rispond|condivid|spieg|far(?:e|lo)"
    r"|partecip|soddisf|gener|crear|descriv|insegn|support|continu|procedere|accett|dir(?:e|ti)"
    r"|collabor|rivel|mostr)"
)
ITALIAN = Tongue(
    _compile(
        r"\bnon (?:(?:ti|vi|le|gli|la|lo|te lo) )?(?:posso|potrò|potrei|voglio|intendo|devo"
        rf"|desidero)\b[^.!?:]{{0,50}}{_IT_HELP}",
        r"\bnon sono (?:in grado|autorizzat|dispost|a mio agio|in condizione)|\bnon me la sento\b",
        r"\bmi rifiuto\b|\b(?:devo|sono costrett\w+ a) (?:rifiutare|declinare)"
        r"|\bpreferisco (?:di )?non\b",
        r"\bnon (?:ti |vi |lo )?(?:aiuterò|scriverò|spiegherò|farò|darò)\b|^non se ne parla",
        r"\ble mie (?:regole|linee guida) (?:non|me)",
    ),
    re.compile(r"\bnon vedo l'ora|\bnon posso (?:aspettare|fare a meno)"),
    re.compile(r"\bnon posso [^.!?]{0,40}(?:consigli? |consulenz|diagnos)"),
    re.compile(r"^(?:ma |però )?(?:posso|potrei|sarò) |^se (?:vuoi|hai|desideri)"),
    re.compile(r"\b(?:ma|ecco|però|invece|tuttavia|al suo posto)\b"),
    _common("il lo la i gli le un una di del che e in è per con non ti al si ma"),
)
_PT_HELP = (
    r"(?:ajud|auxili|assist|fornec|dar\b|dar-|oferec|escrev|respond|compartilh|partilh|explic|faz"
    r"|particip|atend|cumpr|gerar|criar|descrev|ensin|apoi|continu|prossegu|redigir|dizer|colabor"
    r"|revel|mostr|aceit)"
)
PORTUGUESE = Tongue(
    _compile(
        r"\bnão (?:(?:te|lhe|o|a|vos) )?(?:posso|poderei|poderia|vou|quero|devo|consigo|pretendo"
        rf"|irei)\b[^.!?:]{{0,50}}{_PT_HELP}",
        r"\bme recuso\b|\brecuso(?:-me| este| esse)\b|\b(?:devo|tenho (?:que|de)|preciso) "
        r"(?:recusar|declinar)",
        r"\bnão me é possível\b|\bnão (?:estou|sou) (?:autorizad|dispost|em condi|apt|capaz)",
        r"\bprefiro não\b|^de jeito nenhum|\bnão (?:ajudarei|escreverei|explicarei|farei|darei)\b",
        r"\bminhas (?:regras|diretrizes) (?:não|me)",
    ),
    re.compile(r"\bnão posso (?:esperar|deixar de)|\bmal posso esperar"),
    re.compile(r"\bnão posso [^.!?]{0,40}(?:conselho|aconselhamento|diagnóstico)"),
    re.compile(r"^(?:mas )?(?:posso|poderia) |^se (?:quiser|você|precisar)"),
    re.compile(r"\b(?:mas|aqui|porém|no entanto|em vez|em troca)\b"),
    _common("o a os as um uma de do da que e em é para com não no na mas você te por"),
)
_NL_HELP = (
    r"(?:help|bijsta|assist|geven|bied|schrij|beantwoord|antwoord|doen\b|maken|uitleg|delen"
    r"|verstrek|lever|ondersteun|meewerk|meedoen|voldoen|beschrij|ingaan|vertel|leren|bespre)"
)
_NL_WILL = r"(?:kan|zal|ga|mag|wil|zou|kon)"
DUTCH = Tongue(
    _compile(
        rf"\b(?:ik {_NL_WILL}|{_NL_WILL} ik)\b[^.!?:]{{0,60}}\b(?:niet"
        rf"|geen)\b[^.!?:]{{0,60}}{_NL_HELP}",
        rf"\b(?:ik {_NL_WILL}|{_NL_WILL} ik)\b[^.!?:]{{0,60}}{_NL_HELP}[^.!?:]{{0,20}}\bniet\b",
        r"\bik weiger\b|\bik moet\b[^.!?]{0,50}(?:weigeren|afwijzen|afslaan)",
        r"\bik ben niet (?:in staat|bereid|bevoegd)|\bdat doe ik niet\b"
        r"|\bdaar doe ik niet aan mee\b",
        r"\bik (?:help|schrijf|doe|geef|vertel)\b[^.!?]{0,40}\b(?:niet|geen)\b|\bliever niet\b",
        r"\bmijn (?:regels|richtlijnen) (?:staan|laten|verbieden)",
    ),
    re.compile(r"niet wachten\b|niet genoeg\b|nauwelijks wachten\b"),
    re.compile(r"\bik (?:kan|mag)[^.!?]{0,30}\bgeen(?: \w+)? (?:advies|diagnose)"),
    re.compile(r"\bgraag\b|^(?:maar )?ik kan (?:je|u) (?:wel|ook)|^als (?:je|u)\b|^misschien"),
    re.compile(r"\b(?:maar|hier (?:is|zijn)|wel|echter|in plaats)\b"),
    _common("de het een en is van in op te dat die niet met voor je ik u zijn aan om maar er"),
)
_ZH_NO = (
    "(?:无法|無法|不能(?!不)|不会|不會|没法|沒法|没办法|没有办法|不可以|不愿|不願|不便|不应|不想)"
)
_ZH_HELP = (
    "(?:帮|幫|提供|协助|協助|回答|回复|满足|滿足|写|寫"
    "|生成|给|給|支持|参与|參與|这样|這樣|这么|解释"
    "|解釋|讨论|討論|完成|执行|執行|说明|接受|回应"
    "|答应|教|透露|告诉|分享|做)"
)
CHINESE = Tongue(
    _compile(
        f"(?:我|恕我|本人)[^。!?]{{0,8}}{_ZH_NO}[^。!?]{{0,14}}{_ZH_HELP}",
        f"^(?:抱歉|很抱歉|对不起|對不起|不好意思),? ?{_ZH_NO}",
        "我(?:必须|只能|要)?(?:拒绝|拒絕|谢绝)",
    ),
    re.compile("不能不|迫不及待"),
    re.compile(f"我{_ZH_NO}提供(?:医疗|法律|专业|投资)建议"),
    re.compile("我可以|如果你|如果您|欢迎"),
    re.compile("但|不过|以下"),
    frozenset(),
)
JAPANESE = Tongue(
    _compile(
        "(?:手伝|お力|答え|応え|回答|提供|支援|協力|対応|案内"
        "|教え|作成|説明|手助け|伝え|紹介|書くこと|援助)"
        "[^。]{0,12}(?:できません|できない|できかね|いたしかね|致しかね|しません|られません)",
        "お断り|応じ(?:られ|かね|ることはでき)|差し控え|控えさせて|できかねます",
    ),
    re.compile("待ちきれ|待ち遠し"),
    re.compile("(?:医療|法的|法律|専門)[^。]{0,8}(?:助言|アドバイス)[^。]{0,8}でき"),
    re.compile("お気軽|もし|よろしければ"),
    re.compile("しかし|代わり|ただし|以下"),
    frozenset(),
)
TONGUES = (GERMAN, FRENCH, SPANISH, ITALIAN, PORTUGUESE, DUTCH, CHINESE, JAPANESE)
ENGLISH_COMMON = _common(
    "the a an and or of to in is are it you that this with for on at as be not i if by from they "
    "your but no my was so we then do can his her"
)
ASKS_POLAR = re.compile(
    r"^(?:and |so |but )?(?:is|are|was|were|am|do|does|did|has|have|had|should|must|isn't|aren't"
    r"|doesn't|don't|didn't|can(?! you| we)|could(?! you| we)|will(?! you| we)|would(?! you| we)"
    r"|ist|sind|hat|haben|war|darf|gibt es|est-ce|es |son |est[áàa] |é |são |è |sono "
    r"|is er|zijn|heeft)\b|(?:吗|嗎|か)\s*[?。]?$"
)
SAYS_NO = re.compile(r"(?:no|nope|nah|nein|non|nee|não|不|不行|いいえ)[.!。]*")
