"""Make the embedded sample corpus: Korean dialogues with summaries, `data/train.csv`, `data/dev.csv`, `data/test.csv`.

    python data/make_corpus.py            write the files (0.2 s)
    python data/make_corpus.py --check    say whether the committed files are what this script makes; exit 1 if not

Columns as in DialogSum: fname, dialogue, summary, topic. Twelve topics; each dialogue carries three to five facts
drawn from pools, and traps that a model must read to get right: a value that is corrected later ("3시 말고 4시"),
speakers that are swapped at random, small talk before and a goodbye after. The summary holds the final facts only,
with the particles that Korean wants (은/는, 이/가, 을/를, 과/와, 으로/로). It comes in a detailed form and, about one
time in four, a terse one, so that the best possible ROUGE-1 stays below 1 (about 0.9).

`test.csv` is the hold-out set: nothing is trained or chosen by it, `--confirm` scores the winners on it once.

Only `random.random()` is used, whose sequence Python guarantees for a seed: the bytes are the same on every Python.
Everything here is invented; no text was taken from anywhere.
"""

import argparse
import csv
import hashlib
import io
import random
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
HERE = Path(__file__).resolve().parent
TRAIN_ROWS, DEV_ROWS, TEST_ROWS, SEED = 600, 100, 200, 20
COLUMNS = ("fname", "dialogue", "summary", "topic")
TERSE = 0.25  # probability of the terse summary

NAMES = (
    "민수 지영 현우 서연 준호 은지 도윤 하은 시우 수빈 지훈 예린 태윤 다은 성민 유진 건우 소희 재현 미나 "
    "동현 가은 승우 나연 정훈 보라 영호 혜진 상철 윤아"
).split()
PLACES = "서울역 시청 강남역 공원 도서관 박물관 백화점 카페 학교 회사 운동장 터미널 극장 시장 미술관".split()
CITIES = "부산 제주 강릉 경주 전주 여수 속초 대구 광주 인천 춘천 통영".split()
DAYS = "월요일 화요일 수요일 목요일 금요일 토요일 일요일 내일 모레".split()
HOURS = tuple(
    f"{half} {hour}시{minute}" for half in ("오전", "오후") for hour in (1, 2, 3, 4, 9, 10) for minute in ("", " 30분")
)
GOODS = "가방 시계 신발 우산 지갑 모자 안경 책 목도리 이어폰 노트북 화분".split()
COLOURS = "검은색 빨간색 파란색 하얀색 노란색 초록색".split()
FOODS = "불고기 냉면 파스타 초밥 비빔밥 갈비 칼국수 피자".split()
FILMS = "바람의 노래|별이 지는 밤|마지막 기차|겨울 편지|도시의 숲|푸른 새벽".split("|")
COURSES = "영어 중국어 요가 수영 피아노 사진 코딩 요리".split()
COMPANIES = "한빛전자 미래은행 푸른출판 대한물류 새봄식품 하늘여행".split()
SYMPTOMS = "두통 감기 치통 복통 기침 몸살 요통".split()
REASONS = "독감 교통사고 이사 결혼식 장례식 출장".split()
VEHICLES = "기차 버스 비행기 자동차".split()

SMALL_TALK = (
    ("안녕하세요, 오늘 날씨가 참 좋네요.", "네, 정말 따뜻하네요."),
    ("오랜만이에요. 잘 지냈어요?", "네, 덕분에 잘 지냈어요."),
    ("여보세요, 지금 통화 괜찮으세요?", "네, 말씀하세요."),
    ("점심은 드셨어요?", "네, 방금 먹었어요."),
    ("주말 잘 보내셨어요?", "그냥 집에서 쉬었어요."),
)
GOODBYES = (
    ("그럼 그때 봐요.", "네, 안녕히 계세요."),
    ("고마워요. 수고하세요.", "별말씀을요. 들어가세요."),
    ("도와주셔서 감사합니다.", "아니에요, 좋은 하루 보내세요."),
)

FINAL_CONSONANT = {"0": 21, "1": 8, "2": 0, "3": 16, "4": 0, "5": 0, "6": 1, "7": 8, "8": 8, "9": 0}  # of 영 일 이 삼 …
RIEUL = 8
PARTICLES = re.compile(r"(\w#?)\((은/는|이/가|을/를|과/와|으로/로|이에요/예요|이라/라)\)")


class Dice:
    """Choices that use nothing but `random.random()`."""

    def __init__(self, seed: int) -> None:
        self._roll = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._roll() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices, each as likely."""
        return choices[int(self._roll() * len(choices))]

    def two(self, choices: Sequence[T]) -> tuple[T, T]:
        """Return two different choices."""
        first = int(self._roll() * len(choices))
        second = (first + 1 + int(self._roll() * (len(choices) - 1))) % len(choices)
        return choices[first], choices[second]

    def number(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return low + int(self._roll() * (high - low + 1))


@dataclass(frozen=True, slots=True)
class Scene:
    """What is said, by role ("A" or "B"), and its two summaries; `{A}` and `{B}` stand for the speakers."""

    turns: list[tuple[str, str]]
    detailed: str
    terse: str


def final_consonant(text: str) -> int:
    """Return the index (0 none, 8 rieul) of the last syllable's final consonant; digits as they are read aloud."""
    last = text.rstrip("#")[-1]
    if "가" <= last <= "힣":
        return (ord(last) - 0xAC00) % 28
    return FINAL_CONSONANT.get(last, 0)


def particles(text: str) -> str:
    """Return the text with each `(은/는)` replaced by the form that the word before it wants.

    >>> particles("민수(은/는) #Person2#(과/와) 서울(으로/로) 간다.")
    '민수는 #Person2#와 서울로 간다.'
    """

    def choose(match: re.Match[str]) -> str:
        closed, open_ = match[2].split("/")
        final = final_consonant(match[1])
        if match[2] == "으로/로" and final == RIEUL:
            final = 0
        return match[1] + (closed if final else open_)

    return PARTICLES.sub(choose, text)


def corrected(dice: Dice, first: str, final: str) -> str:
    """Return one way to say that it is not `first` but `final`."""
    ways = (
        f"아, {first} 말고 {final}(으로/로) 할게요.",
        f"잠깐만요, {first}(은/는) 안 되고 {final}(이/가) 좋겠어요.",
        f"미안해요, {final}(으로/로) 바꿀게요.",
    )
    return dice.pick(ways)


def restaurant(dice: Dice) -> Scene:
    """A table is booked; the hour may be corrected."""
    name, day, count, food = dice.pick(NAMES), dice.pick(DAYS), dice.number(2, 9), dice.pick(FOODS)
    first, final = dice.two(HOURS)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick(("식당이죠? 예약하고 싶어요.", "자리 예약하려고 전화했어요.", "예약 가능한가요?"))),
        ("B", dice.pick(("네, 언제 몇 분이세요?", "가능합니다. 시간과 인원을 알려 주세요."))),
        ("A", f"{day} {first if changed else final}, {count}명이에요."),
        ("B", dice.pick(("성함이 어떻게 되세요?", "어느 분 이름으로 할까요?"))),
        ("A", f"{name}(이에요/예요). 메뉴는 {food}(으로/로) 부탁해요."),
    ]
    if changed:
        turns.append(("A", corrected(dice, first, final)))
    turns.append(("B", dice.pick(("네, 예약되었습니다.", "알겠습니다. 준비해 두겠습니다."))))
    return Scene(
        turns,
        f"{{A}}(은/는) {name}(이라/라)는 이름으로 {day} {final}에 {count}명 식사를 예약하고 {food}(을/를) 주문한다.",
        f"{{A}}(은/는) {day} {final} {count}명 자리를 예약한다.",
    )


def meeting(dice: Dice) -> Scene:
    """Two friends agree on a place and an hour; the place may be corrected."""
    name, day, hour = dice.pick(NAMES), dice.pick(DAYS), dice.pick(HOURS)
    first, final = dice.two(PLACES)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick((f"{day}에 시간 있어요?", f"{day}에 만날래요?", f"{day}에 같이 놀아요."))),
        ("B", dice.pick(("좋아요. 어디서 볼까요?", "괜찮아요. 어디서 만나요?"))),
        ("A", f"{first if changed else final}에서 {hour}에 봐요."),
    ]
    if changed:
        turns.append(("B", corrected(dice, first, final)))
        turns.append(("A", dice.pick(("그래요, 그게 낫겠네요.", "좋아요, 그렇게 해요."))))
    turns.append(("B", dice.pick((f"{name}도 같이 가도 돼요?", f"{name}(을/를) 데려가도 될까요?"))))
    turns.append(("A", dice.pick(("물론이죠.", "당연하죠, 함께 와요."))))
    return Scene(
        turns,
        f"{{A}}(과/와) {{B}}(은/는) {day} {hour}에 {final}에서 만나기로 하고 {{B}}(은/는) {name}(을/를) 데려온다.",
        f"{{A}}(과/와) {{B}}(은/는) {day} {final}에서 만나기로 한다.",
    )


def clinic(dice: Dice) -> Scene:
    """A patient gets an appointment; the day may be corrected."""
    symptom, hour, name, since = dice.pick(SYMPTOMS), dice.pick(HOURS), dice.pick(NAMES), dice.number(2, 9)
    first, final = dice.two(DAYS)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick((f"{symptom} 때문에 진료를 받고 싶어요.", f"{symptom}(이/가) 심해서 전화했어요."))),
        ("B", dice.pick(("언제부터 아프셨어요?", "증상이 얼마나 되었나요?"))),
        ("A", dice.pick((f"{since}일 됐어요.", f"{since}일 전부터요."))),
        ("B", f"{first if changed else final} {hour}에 {name} 선생님 진료가 있어요."),
    ]
    if changed:
        turns.append(("A", corrected(dice, first, final)))
    turns.append(("B", dice.pick(("네, 접수해 드렸습니다.", "그럼 그때 오세요."))))
    return Scene(
        turns,
        f"{{A}}(은/는) {since}일 된 {symptom} 때문에 {final} {hour}에 {name} 선생님 진료를 예약한다.",
        f"{{A}}(은/는) {symptom} 때문에 {final}에 병원에 간다.",
    )


def delivery(dice: Dice) -> Scene:
    """A customer asks after an order; the day of arrival may be corrected."""
    goods, order, place = dice.pick(GOODS), dice.number(1000, 9999), dice.pick(PLACES)
    first, final = dice.two(DAYS)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick((f"주문한 {goods}(이/가) 아직 안 왔어요.", f"{goods} 배송이 늦어지고 있어요."))),
        ("B", dice.pick(("주문 번호를 알려 주세요.", "죄송합니다. 주문 번호가 어떻게 되세요?"))),
        ("A", dice.pick((f"{order}번이에요.", f"번호는 {order}번입니다."))),
        ("B", f"확인해 보니 {first if changed else final}에 도착해요."),
    ]
    if changed:
        turns.append(("B", f"아, 다시 보니 {first}(이/가) 아니라 {final}에 도착합니다."))
    turns.append(("A", dice.pick((f"그럼 {place}(으로/로) 보내 주세요.", f"받는 곳을 {place}(으로/로) 바꿔 주세요."))))
    turns.append(("B", dice.pick(("네, 그렇게 하겠습니다.", "알겠습니다. 변경했습니다."))))
    return Scene(
        turns,
        f"{{A}}(이/가) 주문한 {order}번 {goods}(은/는) {final}에 {place}(으로/로) 배송된다.",
        f"{{A}}(은/는) {goods}(을/를) {final}에 받는다.",
    )


def trip(dice: Dice) -> Scene:
    """A trip is planned; the town may be corrected."""
    vehicle, days, name = dice.pick(VEHICLES), dice.number(2, 9), dice.pick(NAMES)
    first, final = dice.two(CITIES)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick(("이번 휴가에 뭐 해요?", "휴가 계획 있어요?", "휴가 때 어디 가요?"))),
        (
            "B",
            dice.pick(
                (
                    f"{first if changed else final}에 가려고 해요.",
                    f"{first if changed else final} 여행을 생각 중이에요.",
                )
            ),
        ),
        ("A", dice.pick(("며칠 동안요? 뭘 타고 가요?", "얼마나 있어요? 어떻게 가요?"))),
        ("B", f"{days}일 동안 {vehicle}(으로/로) 가요."),
    ]
    if changed:
        turns.append(("B", corrected(dice, first, final)))
    turns.append(("A", dice.pick(("혼자 가세요?", "누구랑 가요?"))))
    turns.append(("B", dice.pick((f"{name}(과/와) 같이 가요.", f"아니요, {name}도 가요."))))
    return Scene(
        turns,
        f"{{B}}(은/는) 휴가에 {name}(과/와) {vehicle}(을/를) 타고 {days}일 동안 {final}(을/를) 여행한다.",
        f"{{B}}(은/는) {name}(과/와) {final}에 여행을 간다.",
    )


def film(dice: Dice) -> Scene:
    """Two people choose a film; the film may be corrected."""
    hour, seats, place = dice.pick(HOURS), dice.number(2, 6), dice.pick(PLACES)
    first, final = dice.two(FILMS)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick(("영화 보러 갈래요?", "오늘 영화 어때요?"))),
        ("B", dice.pick(("좋아요. 뭐 볼까요?", "그래요. 어떤 영화요?"))),
        ("A", f"{first if changed else final} 어때요?"),
    ]
    if changed:
        turns.append(("B", corrected(dice, first, final)))
    turns.append(
        ("A", dice.pick((f"그럼 {hour} 표로 {seats}장 살게요.", f"{hour}에 {seats}자리 남았어요. 제가 예매할게요.")))
    )
    turns.append(("B", dice.pick((f"{place} 앞에서 만나요.", f"그럼 {place} 앞으로 갈게요."))))
    return Scene(
        turns,
        f"{{A}}(은/는) {hour} {final} 표 {seats}장을 사고 {{B}}(과/와) {place} 앞에서 만난다.",
        f"{{A}}(과/와) {{B}}(은/는) {hour}에 {final}(을/를) 본다.",
    )


def gift(dice: Dice) -> Scene:
    """A gift is chosen; the gift may be corrected."""
    name, colour, price = dice.pick(NAMES), dice.pick(COLOURS), dice.number(1, 9)
    first, final = dice.two(GOODS)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick((f"{name} 생일 선물을 고르고 있어요.", f"{name}에게 줄 선물을 찾아요."))),
        ("B", dice.pick(("예산은 얼마예요?", "얼마까지 생각하세요?"))),
        ("A", dice.pick((f"{price}만 원이요.", f"{price}만 원 정도요."))),
        (
            "B",
            dice.pick(
                (f"그럼 {first if changed else final} 어때요?", f"{first if changed else final}(을/를) 추천해요.")
            ),
        ),
    ]
    if changed:
        turns.append(("A", corrected(dice, first, final)))
    turns.append(("B", dice.pick(("무슨 색으로 드릴까요?", "색은요?"))))
    turns.append(("A", f"{colour}(으로/로) 주세요."))
    return Scene(
        turns,
        f"{{A}}(은/는) {name}의 생일 선물로 {price}만 원짜리 {colour} {final}(을/를) 산다.",
        f"{{A}}(은/는) {name}에게 {final}(을/를) 선물한다.",
    )


def course(dice: Dice) -> Scene:
    """Someone enrols; the course may be corrected."""
    day, hour, fee = dice.pick(DAYS[:7]), dice.pick(HOURS), dice.number(3, 20)
    first, final = dice.two(COURSES)
    changed = dice.chance(0.5)
    turns = [
        (
            "A",
            dice.pick(
                (
                    f"{first if changed else final} 수업을 듣고 싶어요.",
                    f"{first if changed else final} 강좌에 등록하려고요.",
                )
            ),
        ),
        ("B", dice.pick((f"{day} {hour} 반이 있어요.", f"{day} {hour}에 시작하는 반이 비어 있어요."))),
    ]
    if changed:
        turns.append(("A", corrected(dice, first, final)))
        turns.append(("B", dice.pick(("네, 같은 시간에 있어요.", "그것도 시간은 같아요."))))
    turns.append(("A", dice.pick(("수강료는 얼마예요?", "한 달에 얼마인가요?"))))
    turns.append(("B", dice.pick((f"한 달에 {fee}만 원이에요.", f"{fee}만 원입니다."))))
    turns.append(("A", dice.pick(("등록할게요.", "네, 신청해 주세요."))))
    return Scene(
        turns,
        f"{{A}}(은/는) 한 달에 {fee}만 원을 내고 {day} {hour} {final} 수업에 등록한다.",
        f"{{A}}(은/는) {day} {final} 수업에 등록한다.",
    )


def interview(dice: Dice) -> Scene:
    """A job interview is arranged; the hour may be corrected."""
    company, day, name = dice.pick(COMPANIES), dice.pick(DAYS), dice.pick(NAMES)
    first, final = dice.two(HOURS)
    changed = dice.chance(0.5)
    turns = [
        ("B", dice.pick((f"{company}입니다. 서류에 합격하셨어요.", f"{company}에서 연락드렸어요. 합격을 축하합니다."))),
        ("A", dice.pick(("감사합니다! 면접은 언제인가요?", "정말요? 면접 날짜가 언제예요?"))),
        ("B", f"{day} {first if changed else final}입니다."),
    ]
    if changed:
        turns.append(("B", f"아, 죄송해요. {first}(이/가) 아니라 {final}입니다."))
    turns.append(("A", dice.pick(("도착하면 누구를 찾으면 되나요?", "누구에게 가면 될까요?"))))
    turns.append(("B", dice.pick((f"{name} 팀장을 찾아오세요.", f"{name} 팀장에게 오시면 됩니다."))))
    return Scene(
        turns,
        f"{{A}}(은/는) {company}에 합격하여 {day} {final}에 {name} 팀장과 면접을 본다.",
        f"{{A}}(은/는) {day} {final}에 {company} 면접을 본다.",
    )


def absence(dice: Dice) -> Scene:
    """Someone will be away; who stands in may be corrected."""
    reason, day, days = dice.pick(REASONS), dice.pick(DAYS), dice.number(1, 5)
    first, final = dice.two(NAMES)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick((f"{day}부터 {reason} 때문에 쉬어야 해요.", f"{reason} 때문에 {day}부터 못 나와요."))),
        ("B", dice.pick(("얼마나 쉬어요?", "며칠이나 걸려요?"))),
        ("A", dice.pick((f"{days}일이요.", f"{days}일이면 돼요."))),
        ("B", dice.pick(("일은 누가 맡아요?", "대신할 사람은 있어요?"))),
        ("A", f"{first if changed else final}(이/가) 맡아 주기로 했어요."),
    ]
    if changed:
        turns.append(("B", f"{first}(은/는) 바빠요. {final}에게 부탁하세요."))
        turns.append(("A", dice.pick(("네, 그렇게 할게요.", "알겠어요, 그럴게요."))))
    else:
        turns.append(("B", dice.pick(("그래요, 잘 다녀와요.", "알겠어요."))))
    return Scene(
        turns,
        f"{{A}}(은/는) {reason} 때문에 {day}부터 {days}일 쉬고 {final}(이/가) 일을 대신 맡는다.",
        f"{{A}}(은/는) {reason} 때문에 {days}일 동안 쉰다.",
    )


def hotel(dice: Dice) -> Scene:
    """A room is booked; the first night may be corrected."""
    city, nights, price = dice.pick(CITIES), dice.number(1, 6), dice.number(5, 29)
    first, final = dice.two(DAYS)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick((f"{city} 호텔이죠? 방 있어요?", f"{city}에 있는 호텔 방을 예약하려고요."))),
        ("B", dice.pick(("언제 며칠 묵으세요?", "날짜와 기간을 알려 주세요."))),
        ("A", f"{first if changed else final}부터 {nights}박이요."),
    ]
    if changed:
        turns.append(("A", corrected(dice, first, final)))
    turns.append(("B", dice.pick((f"하루에 {price}만 원입니다.", f"1박에 {price}만 원이에요."))))
    turns.append(("A", dice.pick(("좋아요. 예약할게요.", "괜찮네요. 그걸로 해 주세요."))))
    turns.append(("B", dice.pick(("예약이 끝났습니다.", "네, 처리했습니다."))))
    return Scene(
        turns,
        f"{{A}}(은/는) {final}부터 {nights}박 동안 하루 {price}만 원인 {city} 호텔 방을 예약한다.",
        f"{{A}}(은/는) {city} 호텔을 {nights}박 예약한다.",
    )


def lost(dice: Dice) -> Scene:
    """Something was lost; where may be corrected."""
    goods, colour, day = dice.pick(GOODS), dice.pick(COLOURS), dice.pick(DAYS[:7])
    first, final = dice.two(PLACES)
    changed = dice.chance(0.5)
    turns = [
        ("A", dice.pick((f"{goods}(을/를) 잃어버렸어요.", f"혹시 {goods} 못 보셨어요?"))),
        ("B", dice.pick(("어디서 잃어버리셨어요?", "마지막으로 어디서 보셨나요?"))),
        ("A", f"{first if changed else final}에서요."),
    ]
    if changed:
        turns.append(("A", f"아니, {first}(이/가) 아니라 {final}(이에요/예요)."))
    turns.append(("B", dice.pick(("무슨 색이에요?", "어떻게 생겼어요?"))))
    turns.append(("A", dice.pick((f"{colour}(이에요/예요).", f"{colour}입니다."))))
    turns.append(("B", dice.pick((f"찾았어요. {day}에 가지러 오세요.", f"여기 있네요. {day}에 오시면 돼요."))))
    return Scene(
        turns,
        f"{{A}}(은/는) {final}에서 잃어버린 {colour} {goods}(을/를) {day}에 찾으러 간다.",
        f"{{A}}(은/는) {final}에서 잃어버린 {goods}(을/를) 찾는다.",
    )


TOPICS: tuple[tuple[str, Callable[[Dice], Scene]], ...] = (
    ("식당 예약", restaurant),
    ("약속", meeting),
    ("병원", clinic),
    ("배송", delivery),
    ("여행", trip),
    ("영화", film),
    ("선물", gift),
    ("수강 신청", course),
    ("면접", interview),
    ("결근", absence),
    ("호텔", hotel),
    ("분실물", lost),
)


def example(dice: Dice) -> tuple[str, str, str]:
    """Return one (dialogue, summary, topic)."""
    topic, make = dice.pick(TOPICS)
    scene = make(dice)
    turns = list(scene.turns)
    first, second = ("A", "B") if dice.chance(0.5) else ("B", "A")
    if dice.chance(0.5):
        hello, answer = dice.pick(SMALL_TALK)
        turns = [(first, hello), (second, answer), *turns]
    if dice.chance(0.5):
        thanks, bye = dice.pick(GOODBYES)
        turns = [*turns, ("A", thanks), ("B", bye)]
    speakers = {"A": "#Person1#", "B": "#Person2#"} if dice.chance(0.5) else {"A": "#Person2#", "B": "#Person1#"}
    dialogue = "\n".join(f"{speakers[role]}: {particles(text)}" for role, text in turns)
    summary = scene.terse if dice.chance(TERSE) else scene.detailed
    return dialogue, particles(summary.format(**speakers)), topic


def corpus(rows: Sequence[tuple[str, int]], seed: int) -> dict[str, list[dict[str, str]]]:
    """Return the named splits; no dialogue and no summary occurs twice, in one split or in two.

    Args:
        rows: Names of the splits with their numbers of rows, in order.
        seed: Any whole number; the same seed gives the same bytes.
    """
    dice = Dice(seed)
    seen: set[str] = set()
    splits: dict[str, list[dict[str, str]]] = {}
    for name, count in rows:
        split: list[dict[str, str]] = []
        while len(split) < count:
            dialogue, summary, topic = example(dice)
            if dialogue in seen or summary in seen:
                continue
            seen.update((dialogue, summary))
            split.append(dict(zip(COLUMNS, (f"{name}_{len(split)}", dialogue, summary, topic), strict=True)))
        splits[name] = split
    return splits


def csv_bytes(rows: Sequence[dict[str, str]]) -> bytes:
    """Return the rows as a UTF-8 CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def committed() -> dict[str, bytes]:
    """Return the files that belong in this folder, by name."""
    splits = corpus((("train", TRAIN_ROWS), ("dev", DEV_ROWS), ("test", TEST_ROWS)), SEED)
    return {f"{name}.csv": csv_bytes(rows) for name, rows in splits.items()}


def main(argv: list[str] | None = None) -> int:
    """Write or check the files; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the files in this folder, write nothing")
    options = parser.parse_args(argv)
    wrong = 0
    for name, content in committed().items():
        path = HERE / name
        digest = hashlib.sha256(content).hexdigest()[:16]
        if not options.check:
            path.write_bytes(content)
        same = path.is_file() and path.read_bytes() == content
        wrong += not same
        print(f"{path.name}: {'as made' if same else 'DIFFERS from what the script makes'}, sha256 {digest}…")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
