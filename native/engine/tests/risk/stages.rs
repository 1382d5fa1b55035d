use crate::world::*;
use capstan_engine::risk::*;

fn results(gate: &mut RiskGate, now_ns: i64, results: [i128; 2]) -> Vec<Breach> {
    let mut breaches = vec![];
    gate.on_mark(now_ns, &results, &mut breaches);
    breaches
}

fn limit(max: i128, stage: Stage) -> Option<LossLimit> {
    Some(LossLimit { max, stage })
}

#[test]
fn each_loss_limit_leads_to_its_own_stage() {
    const DAY: i64 = 86_400 * SECOND;
    let mut gate = gate(|c| {
        c.limits.losses.drawdown = limit(100, Stage::Reduce);
        c.limits.losses.total = limit(100, Stage::Cancel);
        c.limits.strategy_losses.daily = limit(50, Stage::Flatten);
    });
    assert_eq!(results(&mut gate, 0, [200, 0]), []);
    assert_eq!(results(&mut gate, 1, [100, 0]), []);
    let reached = results(&mut gate, 2, [99, 0]);
    assert_eq!(
        reached,
        [Breach { rule: Rule::Drawdown, strategy: None, figure: 101, limit: 100, stage: Stage::Reduce }]
    );
    assert_eq!(results(&mut gate, 3, [98, 0]), [], "told once");
    // A day begins with what the last one ended with: at event time, whatever the clock says.
    assert_eq!(results(&mut gate, DAY, [98, -50]), []);
    let reached = results(&mut gate, DAY + 1, [47, -50]);
    assert_eq!((reached[0].rule, reached[0].strategy, reached[0].figure), (Rule::DailyLoss, Some(0), 51));
    // FLATTEN goes through CANCEL.
    assert_eq!((gate.stage(0), gate.stage(1)), (Stage::Cancel, Stage::Reduce));
    let reached = results(&mut gate, DAY + 2, [-51, -50]);
    assert_eq!((reached[0].rule, reached[0].strategy, reached[0].stage), (Rule::Loss, None, Stage::Cancel));
}

#[test]
fn a_loss_within_the_window_counts_and_an_older_one_does_not() {
    let mut gate = gate(|c| {
        c.limits.losses.velocity = limit(100, Stage::Freeze);
        c.limits.losses.velocity_window_ns = 32 * SECOND;
    });
    for at in 0..100 {
        assert_eq!(results(&mut gate, at * SECOND, [i128::from(-3 * at), 0]), [], "slow: {at}");
    }
    // A result holds until the next: the fall is between them, however long nothing was heard.
    let reached = results(&mut gate, 10_000 * SECOND, [-398, 0]);
    assert_eq!((reached[0].rule, reached[0].figure, reached[0].stage), (Rule::LossVelocity, 101, Stage::Freeze));
    assert_eq!(gate.whole(), Stage::Freeze);
}
