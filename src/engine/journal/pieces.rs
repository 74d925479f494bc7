//! The numbers of what an operation brings piece by piece. They stand among the numbers of operations, in a range of their
//! own, and follow from the operation and the piece's place in it: whenever a piece comes, no other number changes.

use crate::limits;

/// Set in the number of a piece and in no operation's.
const PIECE: u64 = 1 << 63;
const PLACES: u64 = limits::MAX_PIECES;
const PLACE_BITS: u32 = PLACES.trailing_zeros();
/// The last place that has a number.
pub const LAST_PLACE: u64 = PLACES - 1;
const OPERATIONS: u64 = 1 << (63 - PLACE_BITS);

/// `None` where there are more than have numbers.
pub fn number_of(operation: u64, place: u64) -> Option<u64> {
    (operation < OPERATIONS && place < PLACES).then_some(PIECE | operation << PLACE_BITS | place)
}

/// The operation and the place that a number stands for; `None` where it is an operation's own.
pub fn piece_of(number: u64) -> Option<(u64, u64)> {
    (number & PIECE != 0).then_some(((number & !PIECE) >> PLACE_BITS, number & (PLACES - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_its_piece() {
        for (operation, place) in [(0, 0), (7, 3), (OPERATIONS - 1, PLACES - 1)] {
            assert_eq!(number_of(operation, place).and_then(piece_of), Some((operation, place)));
        }
        assert_eq!(piece_of(OPERATIONS - 1), None, "an operation's own");
        assert_eq!((number_of(OPERATIONS, 0), number_of(0, PLACES)), (None, None));
    }

    #[test]
    fn pieces_of_one_operation_stand_together_and_in_order() {
        let numbers: Vec<_> = [(1, 0), (1, 1), (1, PLACES - 1), (2, 0)]
            .into_iter()
            .filter_map(|(operation, place)| number_of(operation, place))
            .collect();
        assert!(numbers.is_sorted() && numbers.len() == 4, "{numbers:?}");
    }
}
