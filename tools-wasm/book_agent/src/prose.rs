//! Text made from the topic alone: the same topic gives the same book, byte by byte.

const TITLES: [&str; 8] = [
    "What {} is about",
    "Where {} began",
    "How {} works",
    "{} in practice",
    "Mistakes that people make with {}",
    "Those who changed {}",
    "{} and its neighbours",
    "Where {} is going",
];

const OPENINGS: [&str; 6] = [
    "Most people meet {} long before they know its name.",
    "There is no short answer to the question of what makes {} worth the trouble.",
    "Ask three experts about {} and you will hear four opinions.",
    "The first thing to say about {} is how ordinary it looks from afar.",
    "Whoever begins with {} begins with a surprise.",
    "Much that is written on {} starts at the end; here we start at the beginning.",
];

const MIDDLES: [&str; 8] = [
    "A closer look shows that {} rests on a few simple rules.",
    "What holds in the small holds in the large: with {}, patience pays.",
    "It helps to write down what one expects of {} and to compare later.",
    "Not every tool fits, and {} forgives less than one hopes.",
    "The costs are real, yet those who know {} rarely complain about them.",
    "Two things must be kept apart here: the idea of {} and the habits around it.",
    "An example says more than a definition, and {} offers plenty of them.",
    "Old notes on {} are still worth reading, if only for their doubts.",
];

const CLOSINGS: [&str; 5] = [
    "That is enough for now; the next steps build on it.",
    "Keep this in mind when we return to {}.",
    "From here on, {} looks a little less strange.",
    "The rest is practice.",
    "What remains open is the subject of another chapter.",
];

const PARAGRAPHS: u64 = 4;
const SENTENCES: usize = 5;

/// Chapters are numbered from 1.
pub fn title(topic: &str, number: u64) -> String {
    let round = (number - 1) / TITLES.len() as u64;
    let title = TITLES[((number - 1) % TITLES.len() as u64) as usize].replace("{}", topic);
    let mut chars = title.chars();
    let title: String = chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect();
    if round == 0 { title } else { format!("{title}, part {}", round + 1) }
}

pub fn outline(topic: &str, titles: &[String]) -> String {
    let mut text = format!("# {topic}\n\n");
    for (number, title) in (1..).zip(titles) {
        text += &format!("{number}. {title}\n");
    }
    text
}

/// A chapter's pieces: the heading, what its editor asked for, then one paragraph each.
pub fn pieces(topic: &str, number: u64, title: &str, wish: Option<&str>) -> impl Iterator<Item = String> {
    let heading = format!("## Chapter {number}: {title}\n");
    let wish = wish.map(|wish| format!("\nAs its editor asked, this chapter keeps to: {wish}\n"));
    std::iter::once(heading).chain(wish).chain((0..PARAGRAPHS).map(move |paragraph| {
        let mut pick = Pick::new(topic, number * PARAGRAPHS + paragraph);
        let mut sentences = vec![pick.one(&OPENINGS)];
        sentences.extend(pick.some(&MIDDLES, SENTENCES - 2));
        sentences.push(pick.one(&CLOSINGS));
        format!("\n{}\n", sentences.join(" ").replace("{}", topic))
    }))
}

/// Chooses sentences: a splitmix sequence seeded by the topic and the paragraph.
struct Pick(u64);

impl Pick {
    fn new(topic: &str, paragraph: u64) -> Self {
        let seed = topic
            .bytes()
            .fold(paragraph, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        Self(seed)
    }

    fn one<'a>(&mut self, sentences: &[&'a str]) -> &'a str {
        sentences[self.place(sentences.len())]
    }

    /// Neighbours, so that none comes twice.
    fn some<'a>(&mut self, sentences: &[&'a str], count: usize) -> impl Iterator<Item = &'a str> {
        sentences.iter().copied().cycle().skip(self.place(sentences.len())).take(count)
    }

    fn place(&mut self, places: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % places as u64) as usize
    }
}
