use serde::{Deserialize, Serialize};

/// What asking models takes of a budget: tokens, and money in billionths of the unit that prices are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spend {
    pub tokens: u64,
    pub cost: u64,
}

/// Of one token, in billionths of a unit: thousandths of a unit for a million of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    pub input: u64,
    pub output: u64,
}

/// Billionths of a unit.
const NANOS_PER_UNIT: u64 = 1_000_000_000;

/// Limits of money are in hundredths of a unit.
pub const NANOS_PER_CENT: u64 = NANOS_PER_UNIT / 100;

impl Spend {
    pub const NOTHING: Self = Self { tokens: 0, cost: 0 };
    pub const WITHOUT_BOUND: Self = Self { tokens: u64::MAX, cost: u64::MAX };

    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self { tokens: self.tokens.saturating_add(more.tokens), cost: self.cost.saturating_add(more.cost) }
    }

    /// Never less than nothing.
    #[must_use]
    pub fn minus(self, less: Self) -> Self {
        Self { tokens: self.tokens.saturating_sub(less.tokens), cost: self.cost.saturating_sub(less.cost) }
    }
}

impl Price {
    /// Of a request and its answer.
    pub fn of(self, input_tokens: u64, output_tokens: u64) -> Spend {
        let cost = |price: u64, tokens: u64| price.saturating_mul(tokens);
        Spend {
            tokens: input_tokens.saturating_add(output_tokens),
            cost: cost(self.input, input_tokens).saturating_add(cost(self.output, output_tokens)),
        }
    }
}

/// A sum of money as people write it: `0.0123`.
pub fn units(nanos: u64) -> String {
    let (whole, rest) = (nanos / NANOS_PER_UNIT, nanos % NANOS_PER_UNIT);
    match format!("{rest:09}").trim_end_matches('0') {
        "" => whole.to_string(),
        rest => format!("{whole}.{rest}"),
    }
}

/// Hundredths of a unit, in which bounds of money are written.
pub fn cents(nanos: u64) -> String {
    units(nanos.saturating_mul(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_of_a_million_tokens() {
        // 0.15 and 0.6 for a million.
        let price = Price { input: 150, output: 600 };
        let spend = price.of(1_000_000, 500_000);
        assert_eq!((spend.tokens, units(spend.cost).as_str()), (1_500_000, "0.45"));
        assert_eq!(units(Price { input: 1, output: 0 }.of(1, 0).cost), "0.000000001");
        assert_eq!(units(2 * NANOS_PER_UNIT), "2");
        assert_eq!(cents(3 * NANOS_PER_CENT), "3");
        assert_eq!(cents(1_000), "0.0001");
    }

    #[test]
    fn no_sum_goes_round() {
        let most = Price { input: u64::MAX, output: u64::MAX }.of(u64::MAX, 1);
        assert_eq!(most, Spend::WITHOUT_BOUND);
        assert_eq!(most.plus(most), most);
        assert_eq!(Spend::NOTHING.minus(most), Spend::NOTHING);
    }
}
