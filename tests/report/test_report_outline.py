"""What a report says: the verdict, the order, the words, the samples, the history."""

from __future__ import annotations

import pytest
from factories_report import (
    a_finding,
    a_report,
    a_run,
    a_verdict,
    as_markdown,
    choice_scores,
    documents,
    published,
    results,
    rows,
    two_runs,
)

from pyr.compare import compare
from pyr.gate import Assessment, assess
from pyr.gate.spec import Rule
from pyr.report import outline
from pyr.schema import Aggregate, Comparison, Estimate, Skipped


def compared(task: str, p: float | None, change: float | None, **changes) -> Comparison:
    estimate = Estimate(0.5, 0.01, 100, 100)
    values = {
        "task": task,
        "metric": "acc",
        "direction": "higher",
        "unit": "",
        "group": "",
        "candidate": estimate,
        "baseline": estimate,
        "delta": None if change is None else Estimate(change, 0.01, 100, 100),
        "paired": True,
        "low": None if change is None else change - 0.02,
        "high": None if change is None else change + 0.02,
        "p": p,
    }
    return Comparison(**(values | changes))


def report_of(*comparisons: Comparison) -> outline.Report:
    return outline.build(results(a_run("new")), results(a_run("old")), Assessment(comparisons))


def words_of(report: outline.Report) -> dict[str, str]:
    return {measure.task: measure.word for measure in report.measures}


def test_words_follow_benjamini_hochberg_at_ten_percent() -> None:
    # By hand, five p-values and q = 0.1: the bounds are 0.02, 0.04, 0.06, 0.08, 0.1. The third,
    # 0.055, is below its bound, and so the second, 0.045, is rejected though above its own.
    ps = {"a": 0.001, "b": 0.045, "c": 0.055, "d": 0.09, "e": 0.8}
    report = report_of(*(compared(task, p, -0.1) for task, p in ps.items()))
    words = words_of(report)
    assert [words[task] for task in "abc"] == ["worse"] * 3
    assert [words[task] for task in "de"] == ["not proven"] * 2


def test_no_change_seen_is_said_only_where_a_change_would_have_been_seen() -> None:
    # Accuracies; half widths of 0.09 and 0.11 against the 0.1 that matters without a rule. Bits a
    # byte of 0.5: a tenth of the score before is 0.05.
    bits = {"direction": "lower", "unit": "bits/byte"}
    report = report_of(
        compared("flat", 0.8, 0.01, low=-0.08, high=0.10),
        compared("wide", 0.8, 0.01, low=-0.10, high=0.12),
        compared("clear alone", 0.06, -0.05, low=-0.09, high=-0.01),
        compared("flat bits", 0.8, 0.01, low=-0.03, high=0.05, **bits),
        compared("wide bits", 0.8, 0.01, low=-0.05, high=0.07, **bits),
    )
    assert words_of(report) == {
        "clear alone": "not proven",
        "wide": "cannot tell",
        "wide bits": "cannot tell",
        "flat": "no change seen",
        "flat bits": "no change seen",
    }


def test_a_rule_says_by_its_margin_what_matters() -> None:
    row = compared("arc", 0.8, 0.0, low=-0.03, high=0.03)
    said = []
    for state, margin in (("pass", "0.05"), ("pass", "0.02"), ("unclear", "0.05")):
        finding = a_finding(state, "arc/acc", rule=Rule(measure="arc/acc", not_worse_by=margin))
        runs = results(a_run("new")), results(a_run("old"))
        said.append(outline.build(*runs, Assessment([row], a_verdict(finding))).measures[0].word)
    assert said == ["no change seen", "cannot tell", "cannot tell"]


def test_a_rise_is_worse_where_lower_is_better() -> None:
    report = report_of(
        compared("ppl", 0.001, +0.1, direction="lower"),
        compared("acc", 0.001, +0.1, direction="higher"),
    )
    assert words_of(report) == {"ppl": "worse", "acc": "better"}


def test_regressions_come_first_then_improvements_then_the_unchanged() -> None:
    report = report_of(
        compared("same", 0.9, 0.0),
        compared("up", 0.001, 0.1),
        compared("faintly down", 0.001, -0.1),
        compared("clearly down", 0.001, -0.2),
    )
    order = [measure.task for measure in report.measures]
    assert order == ["clearly down", "faintly down", "up", "same"]


def test_a_measure_that_the_candidate_lacks_is_missing_and_not_silent() -> None:
    report = report_of(compared("gone", None, None, candidate=None))
    assert words_of(report) == {"gone": "missing"}


def test_a_difference_without_an_error_cannot_be_told() -> None:
    report = report_of(compared("ppl", None, 3.0, low=None, high=None))
    assert words_of(report) == {"ppl": "cannot tell"}


def test_what_is_not_tested_gets_no_word_of_change() -> None:
    report = report_of(
        compared("health", 0.0001, -1.0, metric="finite", kind="check"),
        compared("condition", 0.0001, 1.585, metric="loss", unit="nats", kind="diagnostic"),
        compared("tokenizer:prose", 0.0001, -1.0, metric="bytes_per_token@gpt2", kind="reference"),
    )
    assert report.banner.words == {}
    assert set(words_of(report).values()) == {"not judged"}


def test_findings_stand_fail_first_then_unclear_then_pass() -> None:
    new, old = two_runs()
    findings = [a_finding(state, f"{state}/acc") for state in ("pass", "unclear", "fail")]
    report = a_report(new, old, a_verdict(*findings))
    assert [finding.state for finding in report.findings] == ["fail", "unclear", "pass"]
    assert report.banner.outcome == "fail"
    assert report.banner.reasons == ("fail/acc says fail.",)


def test_the_gravest_of_the_failed_rules_comes_first() -> None:
    # By hand: 0.46 of 0.05 is 9.2 times, 0.785 of 0.02 is 39, 0.24 of 0.07 is 3.4; 1 asked and
    # 0.5 there is 2 times; nothing there of what was asked is without bound.
    new, old = two_runs()

    def found(measure: str, word: str, bound: float | str, value: float | None):
        seen = None if value is None else Estimate(value, 0.01, 100, 100)
        rule = Rule.model_validate({"measure": measure, word: bound})
        kind = "check" if rule.task == "health" else "score"
        return a_finding("fail", measure, rule=rule, observed=seen, kind=kind)

    findings = [
        found("arc/gold_bpb", "not_worse_by", 0.05, 0.46),
        found("python/bits_per_byte", "not_worse_by", 0.02, 0.785),
        found("words/acc", "not_worse_by", 0.07, -0.24),
        found("health/finite", "at_least", 1, 0.99),
        found("sciq/acc", "at_least", 1, 0.6),
        found("call/own", "call", "my.function", None),
    ]
    order = [each.measure for each in a_report(new, old, a_verdict(*findings)).findings]
    assert order == [
        "health/finite",
        "python/bits_per_byte",
        "arc/gold_bpb",
        "words/acc",
        "sciq/acc",
        "call/own",
    ]


@pytest.mark.parametrize("state", ["pass", "fail", "unclear"])
def test_the_banner_says_the_verdict(state) -> None:
    new, old = two_runs()
    report = a_report(new, old, a_verdict(a_finding(state)))
    assert report.banner.word == state.upper()
    assert "gate keep against old" in report.banner.headline


def test_a_passed_gate_does_not_hide_what_got_worse_beside_it() -> None:
    new, old = two_runs()
    report = a_report(new, old, a_verdict(a_finding("pass", "piqa/acc")))
    assert report.banner.word == "PASS"
    assert report.banner.reasons[0] == "1 measure without a rule got worse: arc/acc."


def test_a_gate_of_health_alone_passes_no_scores() -> None:
    new, old = two_runs()
    report = a_report(new, old, a_verdict(a_finding("pass", "health/finite", kind="check")))
    assert report.banner.word == "MEASURED"


def test_a_run_that_was_broken_off_is_incomplete_even_if_its_gate_passes() -> None:
    report = a_report(results(a_run(finished="")), None, a_verdict(a_finding("pass")))
    assert report.banner.word == "INCOMPLETE"
    assert "broken off" in report.banner.headline


def test_a_skipped_task_makes_the_report_incomplete_and_names_it() -> None:
    run = a_run(skipped=[Skipped("boolq", "not on this machine")])
    report = a_report(results(run, rows([1.0, 0.0, 1.0])))
    assert report.banner.word == "INCOMPLETE"
    assert report.banner.reasons == ("boolq: not on this machine",)


def test_what_does_not_apply_leaves_the_report_complete() -> None:
    run = a_run(skipped=[Skipped("chat", "no chat template", missing=False)])
    report = a_report(results(run, rows([1.0, 0.0, 1.0])))
    assert report.banner.word == "MEASURED"


def test_a_broken_tensor_fails_the_report_by_its_name() -> None:
    said = "3 of 64 values are not finite"
    health = rows([1.0, 0.0], task="health", metric="finite", unit="check", responses=["", said])
    report = a_report(results(a_run(), health))
    assert report.banner.word == "FAIL"
    assert report.banner.reasons == (f"1: {said}",)
    assert (len(report.broken), report.sound) == (1, 1)


def test_a_score_has_its_two_sided_95_percent_interval() -> None:
    # 2 and 4 by turns, 100 items: se = sqrt(1 / 99), t(99) at 97.5% is 1.98422.
    report = a_report(results(a_run(), rows([2.0, 4.0] * 50, metric="gold_bpb")))
    half = 1.98422 / 99**0.5
    assert report.measures[0].least == pytest.approx(3 - half, rel=1e-5)
    assert report.measures[0].most == pytest.approx(3 + half, rel=1e-5)


def test_items_that_flipped_are_counted_and_shown_in_their_order() -> None:
    before = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0]
    after = [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    old, new = results(a_run("old"), rows(before)), results(a_run("new"), rows(after))
    (flips,) = a_report(new, old).flips
    assert (flips.lost, flips.gained, flips.still_right, flips.still_wrong) == (3, 1, 1, 2)
    assert [sample.item for sample in flips.lost_samples] == ["1", "4", "6"]
    assert [sample.item for sample in flips.gained_samples] == ["2"]


def test_only_some_of_many_flips_are_shown() -> None:
    new, old = two_runs(lost=60)
    (flips,) = a_report(new, old).flips
    assert flips.lost == 60
    assert len(flips.lost_samples) == 4


def test_other_documents_of_the_same_number_are_no_flips() -> None:
    old = results(a_run("old"), rows([1.0, 1.0], doc_hash=["a", "b"]))
    new = results(a_run("new"), rows([0.0, 0.0], doc_hash=["a", "other"]))
    (flips,) = a_report(new, old).flips
    assert (flips.lost, flips.still_right) == (1, 0)


def test_a_measure_of_degrees_has_no_flips() -> None:
    old = results(a_run("old"), rows([0.5, 1.5], metric="gold_bpb"))
    new = results(a_run("new"), rows([0.7, 1.0], metric="gold_bpb"))
    assert a_report(new, old).flips == ()


def test_a_sample_shows_the_choices_with_both_scores_and_picks() -> None:
    asked = documents(("0", "The sky is", [" blue", " green"], "0"), ("1", "x", [" a", " b"], "0"))
    old = rows([1.0, 1.0], responses=[choice_scores(-1.0, -2.0)] * 2)
    new = rows([0.0, 1.0], responses=[choice_scores(-3.0, -2.5)] * 2)
    runs = results(a_run("new"), new), results(a_run("old"), old)
    (sample,) = a_report(*runs, documents=asked).flips[0].lost_samples
    assert (sample.prompt, sample.choices) == ("The sky is", (" blue", " green"))
    assert (sample.target, sample.wanted) == (0, " blue")
    assert (sample.baseline.scores, sample.baseline.pick) == ((-1.0, -2.0), 0)
    assert (sample.candidate.scores, sample.candidate.pick) == ((-3.0, -2.5), 1)


def test_the_pick_of_acc_norm_is_by_length_without_the_leading_space() -> None:
    # -4 / 2 characters loses against -6 / 4; with the spaces counted, -4 / 3 > -6 / 5 as well.
    asked = documents(("0", "p", [" ab", " abcd"], "1"), ("1", "p", [" ab", " abcd"], "1"))
    old = rows([1.0, 1.0], metric="acc_norm", responses=[choice_scores(-4.0, -6.0)] * 2)
    new = rows([0.0, 1.0], metric="acc_norm", responses=[choice_scores(-1.0, -6.0)] * 2)
    runs = results(a_run("new"), new), results(a_run("old"), old)
    (sample,) = a_report(*runs, documents=asked).flips[0].lost_samples
    assert (sample.baseline.pick, sample.candidate.pick, sample.target) == (1, 0, 1)


def test_what_acc_norm_picks_by_is_shown() -> None:
    asked = documents(*((str(n), "p", [" ab", " abcd"], "1") for n in range(2)))
    old = rows([1.0, 1.0], metric="acc_norm", responses=[choice_scores(-4.0, -6.0)] * 2)
    new = rows([0.0, 1.0], metric="acc_norm", responses=[choice_scores(-1.0, -6.0)] * 2)
    runs = results(a_run("new"), new), results(a_run("old"), old)
    (sample,) = a_report(*runs, documents=asked).flips[0].lost_samples
    assert sample.baseline.per_character == (-2.0, -1.5)


def test_a_task_judged_by_degrees_shows_what_flipped_in_its_answers() -> None:
    def run_of(name: str, right: float, bits: float):
        answers = rows([right] * 5 + [1.0] * 15)
        return results(a_run(name), [*answers, *rows([bits] * 20, metric="gold_bpb")])

    verdict = a_verdict(a_finding("fail", "arc/gold_bpb"))
    (flips,) = a_report(run_of("new", 0.0, 2.0), run_of("old", 1.0, 1.0), verdict).flips
    assert (flips.metric, flips.lost) == ("acc", 5)


def test_flips_of_broken_rules_come_first_and_of_a_few_items_last() -> None:
    def run_of(name: str, right: float):
        sizes = {"few": 5, "sound": 20, "broken": 20}
        found = [rows([right] * 3 + [1.0] * (n - 3), task=task) for task, n in sizes.items()]
        return results(a_run(name), [row for each in found for row in each])

    verdict = a_verdict(a_finding("fail", "broken/acc"), a_finding("fail", "few/acc"))
    flips = a_report(run_of("new", 0.0), run_of("old", 1.0), verdict).flips
    assert [each.task for each in flips] == ["broken", "sound", "few"]


def test_the_number_of_a_choice_that_is_not_there_is_no_wanted_answer() -> None:
    asked = documents(("0", "Write a poem.", [], "0"), ("1", "6 * 7 =", [], "42"))
    old = rows([1.0, 1.0], responses=['["A rose"]', '["It is 42"]'])
    new = rows([0.0, 0.0], responses=['["no"]', '["no"]'])
    runs = results(a_run("new"), new), results(a_run("old"), old)
    samples = a_report(*runs, documents=asked).flips[0].lost_samples
    assert [sample.wanted for sample in samples] == ["", "42"]


def test_a_sample_s_line_is_the_last_question_without_the_template() -> None:
    chat = (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nWho are you?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    asked = documents(("0", chat, [], "x"), ("1", "Q: old A: b Q: new A:", [], "x"))
    runs = results(a_run("new"), rows([0.0] * 2)), results(a_run("old"), rows([1.0] * 2))
    samples = a_report(*runs, documents=asked).flips[0].lost_samples
    assert [sample.gist for sample in samples] == ["Who are you?", "Q: old A: b Q: new A:"]


def test_a_numeral_target_is_the_choice_that_the_right_checkpoint_picked() -> None:
    # "1" is the text of choice 0 and the number of choice 1.
    asked = documents(("0", "7 - 5 =", [" 1", " 2"], "1"), ("1", "p", [" 1", " 2"], "1"))
    old = rows([1.0, 1.0], responses=[choice_scores(-5.0, -1.0)] * 2)
    new = rows([0.0, 1.0], responses=[choice_scores(-1.0, -5.0)] * 2)
    runs = results(a_run("new"), new), results(a_run("old"), old)
    (sample,) = a_report(*runs, documents=asked).flips[0].lost_samples
    assert sample.wanted == " 2"


def test_a_sample_shows_generated_text_side_by_side() -> None:
    old = rows([1.0, 1.0], responses='["said well"]')
    new = rows([0.0, 1.0], responses='["said badly"]')
    (flips,) = a_report(results(a_run("new"), new), results(a_run("old"), old)).flips
    (sample,) = flips.lost_samples
    assert (sample.baseline.text, sample.candidate.text) == ("said well", "said badly")


def test_responses_that_are_no_json_are_shown_as_they_are() -> None:
    old, new = rows([1.0, 1.0], responses="{half"), rows([0.0, 1.0], responses="NaN of it")
    (flips,) = a_report(results(a_run("new"), new), results(a_run("old"), old)).flips
    assert flips.lost_samples[0].baseline.text == "{half"


def test_chance_is_one_over_the_choices_and_only_for_accuracy() -> None:
    asked = documents(("0", "p", ["a", "b"], "0"), ("1", "p", ["a", "b", "c", "d"], "0"))
    both = [*rows([1.0, 0.0]), *rows([1.0, 2.0], metric="gold_bpb")]
    report = a_report(results(a_run(), both), documents=asked)
    chances = {measure.metric: measure.chance for measure in report.measures}
    assert chances == {"acc": pytest.approx((1 / 2 + 1 / 4) / 2), "gold_bpb": None}


def _at(share: float, name: str, **changes):
    """A run with that share of 100 two-choice answers right."""
    right = round(100 * share)
    return results(a_run(name, **changes), rows([1.0] * right + [0.0] * (100 - right)))


TWO_CHOICES = documents(*((str(n), "p", ["a", "b"], "0") for n in range(100)))


def test_a_fall_to_chance_decides_and_is_said() -> None:
    # 0.8 lies 0.3 / 0.04 = 7.5 standard errors above guessing, 0.5 none.
    report = a_report(_at(0.5, "new"), _at(0.8, "old"), documents=TWO_CHOICES)
    (measure,) = report.measures
    assert (measure.word, measure.marks, measure.now_at_chance) == ("worse", (), True)
    assert report.banner.words == {"worse": 1}


def test_what_is_at_chance_on_both_sides_decides_nothing_and_is_not_counted() -> None:
    report = a_report(_at(0.4, "new"), _at(0.6, "old"), documents=TWO_CHOICES)
    (measure,) = report.measures
    assert (measure.word, measure.marks, measure.now_at_chance) == ("worse", ("at chance",), False)
    assert report.banner.words == {}
    assert not any("without a rule" in reason for reason in report.banner.reasons)


COLLAPSE = [0.66, 0.7, 0.69, 0.74, 0.76, 0.79, 0.3]


def _collapsed() -> outline.Report:
    """Seven checkpoints of one phase, the last of which lost what the others had."""
    history = [_at(share, f"c-step{step}", step=step) for step, share in enumerate(COLLAPSE, 1)]
    assessed = assess(None, history[-1], history[-2], history=history)
    return outline.build(history[-1], history[-2], assessed)


def test_a_collapse_at_the_last_checkpoint_is_worse_and_said_to_have_fallen() -> None:
    report = _collapsed()
    (measure,) = report.measures
    assert (measure.word, measure.marks) == ("worse", ())
    assert measure.said == "fell at this checkpoint"
    assert "| arc acc fell at this checkpoint | \u25bc worse |" in as_markdown(report)
    assert report.banner.words == {"worse": 1}


def test_a_checkpoint_is_not_said_to_have_fallen_for_what_came_after_it() -> None:
    history = [_at(share, f"c-step{step}", step=step) for step, share in enumerate(COLLAPSE, 1)]
    (measure,) = a_report(history[-2], history[-3], history=history).measures
    assert not measure.fell


def test_a_rule_that_failed_has_decided() -> None:
    verdict = a_verdict(a_finding("fail"))
    report = a_report(_at(0.4, "new"), _at(0.6, "old"), verdict, documents=TWO_CHOICES)
    assert report.measures[0].marks == ()
    assert report.banner.words == {"worse": 1}


def test_the_trail_is_sorted_by_tokens_and_holds_each_run_once() -> None:
    history = [results(a_run(f"c{step}", step=step), rows([1.0, 0.0, 0.0])) for step in (9, 2, 5)]
    report = a_report(history[0], history[1], history=history)
    (measure,) = report.measures
    assert report.axis == "tokens"
    assert [point.x for point in measure.trail] == [2000, 5000, 9000]
    assert measure.trail[0].value == pytest.approx(1 / 3)


def test_steps_are_the_axis_where_no_tokens_are_known() -> None:
    runs = [a_run(f"c{step}", step=step) for step in (1, 2, 3)]
    bare = [_without_tokens(run) for run in runs]
    history = [results(run, rows([1.0, 0.0])) for run in bare]
    report = a_report(history[-1], None, history=history)
    assert report.axis == "step"
    assert [point.x for point in report.measures[0].trail] == [1, 2, 3]


def _without_tokens(run):
    import dataclasses

    return dataclasses.replace(run, checkpoint=dataclasses.replace(run.checkpoint, tokens=None))


def test_a_run_without_a_place_in_training_is_left_out_and_noted() -> None:
    history = [results(a_run(f"c{step}", step=step), rows([1.0, 0.0])) for step in (1, 2, 3)]
    report = a_report(history[-1], None, history=[*history, results(a_run("lost"), rows([1.0]))])
    assert len(report.measures[0].trail) == 3
    assert any("neither tokens nor step" in note.text for note in report.notes)


def test_published_means_make_a_trajectory_too() -> None:
    history = [
        published(a_run(f"c{step}", step=step), Aggregate("sciq", "acc", 0.1 * step, 0.01))
        for step in (1, 2, 3)
    ]
    report = a_report(history[2], history[0], history=history)
    (measure,) = report.measures
    assert [point.value for point in measure.trail] == pytest.approx([0.1, 0.2, 0.3])
    assert report.charts == ("sciq/acc",)
    assert [note.measures for note in report.notes if "unpaired" in note.text] == [1]


def test_provenance_marks_what_differs_and_should_not() -> None:
    new = results(a_run("new", environment={"device": "cuda", "dtype": "bfloat16"}))
    old = results(a_run("old", environment={"device": "cpu", "dtype": "bfloat16"}))
    facts = a_report(new, old).facts
    assert [fact.label for fact in facts if fact.differs] == ["device"]
    assert ("cuda", "cpu") in [(fact.candidate, fact.baseline) for fact in facts]


def test_the_same_inputs_give_an_equal_report() -> None:
    new, old = two_runs()
    comparisons = compare(new, old)
    first, second = (outline.build(new, old, Assessment(comparisons)) for _ in range(2))
    assert first == second


def test_what_was_skipped_for_one_reason_is_one_entry() -> None:
    gone = [Skipped(f"mmlu_{name}", "its data is not here") for name in "abcde"]
    report = a_report(results(a_run(skipped=[*gone, Skipped("boolq", "another reason")])))
    assert [each.what for each in report.skipped] == ["mmlu_a, mmlu_b, mmlu_c and 2 more", "boolq"]
    assert len(report.candidate.skipped) == 6


def test_a_run_in_which_all_was_skipped_is_not_said_to_be_measured() -> None:
    run = a_run(skipped=[Skipped("chat", "the checkpoint has no chat template", missing=False)])
    records = rows([1.0], task="health", metric="finite", unit="check")
    assert "nothing was scored" in a_report(results(run, records)).banner.headline


def test_exact_calls_speak_for_a_tools_task_and_not_abstaining() -> None:
    records = [
        *rows([1.0, 1.0], task="pyr_tools", metric="abstained"),
        *rows([0.0, 1.0], task="pyr_tools", metric="exact"),
    ]
    report = a_report(results(a_run(), records))
    assert [each.metric for each in report.measures if each.main] == ["exact"]
