//! The best pairing of two lists.

/// Pairs each row of a non-empty table of `rows` x `columns` similarities, rows not more than columns, with a column of
/// its own so that the sum is the greatest; gives the column of each row.
///
/// The Hungarian method with potentials (H. W. Kuhn, Naval Research Logistics Quarterly 2, 1955; the shortest path form
/// of R. Jonker and A. Volgenant, Computing 38, 1987), in time rows² x columns.
pub(super) fn assign(rows: usize, columns: usize, similarity: impl Fn(usize, usize) -> f64) -> Vec<usize> {
    // Number 0 stands for "none", so rows and columns count from 1.
    let mut row_potential = vec![0.0; rows + 1];
    let mut column_potential = vec![0.0; columns + 1];
    let mut row_of = vec![0; columns + 1];
    for row in 1..=rows {
        row_of[0] = row;
        let mut came_from = vec![0; columns + 1];
        let mut nearest = vec![f64::INFINITY; columns + 1];
        let mut is_reached = vec![false; columns + 1];
        let mut column = 0;
        // Until a column is reached that no row has yet.
        while row_of[column] != 0 {
            is_reached[column] = true;
            let from = row_of[column];
            let (mut least, mut next) = (f64::INFINITY, 0);
            for other in (1..=columns).filter(|other| !is_reached[*other]) {
                let cost = -similarity(from - 1, other - 1) - row_potential[from] - column_potential[other];
                if cost < nearest[other] {
                    nearest[other] = cost;
                    came_from[other] = column;
                }
                if nearest[other] < least {
                    (least, next) = (nearest[other], other);
                }
            }
            for other in 0..=columns {
                if is_reached[other] {
                    row_potential[row_of[other]] += least;
                    column_potential[other] -= least;
                } else {
                    nearest[other] -= least;
                }
            }
            column = next;
        }
        while column != 0 {
            row_of[column] = row_of[came_from[column]];
            column = came_from[column];
        }
    }
    let mut column_of = vec![0; rows];
    for (column, row) in row_of.iter().enumerate().skip(1).filter(|(_, row)| **row != 0) {
        column_of[row - 1] = column - 1;
    }
    column_of
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The greatest sum by trying every pairing.
    fn by_trial(table: &[Vec<f64>], row: usize, taken: &mut Vec<usize>) -> f64 {
        let Some(similarities) = table.get(row) else { return 0.0 };
        let mut best = f64::NEG_INFINITY;
        for (column, similarity) in similarities.iter().enumerate() {
            if !taken.contains(&column) {
                taken.push(column);
                best = best.max(similarity + by_trial(table, row + 1, taken));
                taken.pop();
            }
        }
        best
    }

    proptest! {
        #[test]
        fn no_pairing_has_a_greater_sum(
            table in (1..6_usize, 0..3_usize).prop_flat_map(|(rows, more)| {
                prop::collection::vec(prop::collection::vec(0.0..=1.0_f64, rows + more), rows)
            })
        ) {
            let columns = assign(table.len(), table[0].len(), |row, column| table[row][column]);
            let mut used = columns.clone();
            used.sort_unstable();
            used.dedup();
            prop_assert_eq!(used.len(), table.len(), "each row has a column of its own");
            let sum: f64 = columns.iter().enumerate().map(|(row, column)| table[row][*column]).sum();
            prop_assert!((sum - by_trial(&table, 0, &mut Vec::new())).abs() < 1e-9);
        }
    }
}
