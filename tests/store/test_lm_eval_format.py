import math

import pytest

from pyr.errors import MeasureError
from pyr.store import lm_eval_format as metrics
from pyr.store.lm_eval_format import Published, Weighted


def score(metric, value, se=None, filter_name="none"):
    return Published(metric, filter_name, value, se)


def test_old_and_new_keys_say_the_same():
    old = {"acc": 0.25, "acc_stderr": 0.01}
    new = {"alias": "arc", "sample_len": 9, "acc,none": 0.25, "acc_stderr,none": 0.01}
    assert list(metrics.published(old)) == list(metrics.published(new))


def test_what_is_no_number_is_passed_over():
    results = {"alias": " - arc", "acc,none": "N/A", "f1,none": 0.5, "f1_stderr,none": "N/A"}
    assert list(metrics.published(results)) == [score("f1", 0.5)]


def test_a_filter_is_part_of_the_name_unless_it_is_none():
    assert score("exact_match", 0.5, filter_name="strict").label == "exact_match,strict"
    assert score("acc", 0.5).label == "acc"


@pytest.mark.parametrize("name", ["ppl", "perplexity"])
def test_a_perplexity_is_taken_on_the_log_scale(name):
    found = score(name, 20.0, 2.0)
    assert (found.label, found.unit) == ("log_perplexity", "nats")
    assert found.on_our_scale() == (math.log(20), 0.1)


@pytest.mark.parametrize(("ones", "n"), [(1, 2), (37, 100), (1_608, 5_153), (33_601, 67_000)])
def test_n_is_found_from_the_error_of_zeros_and_ones(ones, n):
    mean = ones / n
    # The sample variance of zeros and ones, as lm-eval's mean_stderr takes it.
    variance = (ones * (1 - mean) ** 2 + (n - ones) * mean**2) / (n - 1)
    assert metrics.num_items(mean, math.sqrt(variance / n)) == n


@pytest.mark.parametrize(("value", "se"), [(0.31, 0.0137), (3.5, 0.2), (0.0, 0.0), (0.4, None)])
def test_n_is_not_guessed(value, se):
    assert metrics.num_items(value, se) is None


def test_a_plain_number_is_an_item():
    found = metrics.items(score("acc", 0.5), [1.0, 0, True, False])
    assert found.items == [(1, 1), (0, 1), (1, 1), (0, 1)]


def test_bits_per_byte_are_weighted_by_bytes():
    raws = [[-10.0, 8], [-30.0, 40]]
    found = metrics.items(score("bits_per_byte", 40 / 48 / math.log(2)), raws)
    assert found.unit == "bits/byte"
    assert [item.weight for item in found.items] == [8, 40]
    assert found.items[0].value == pytest.approx(10 / math.log(2) / 8)


def test_a_word_perplexity_is_weighted_by_words():
    found = metrics.items(score("word_perplexity", math.exp(40 / 9)), [[-10.0, 4], [-30.0, 5]])
    assert (found.label, found.unit) == ("log_word_perplexity", "nats")
    assert found.items == [(2.5, 4), (6, 5)]


def test_a_perplexity_is_a_mean_of_log_likelihoods():
    found = metrics.items(score("perplexity", math.exp(2.0)), [-1.0, -3.0])
    assert (found.label, found.items) == ("log_perplexity", [(1, 1), (3, 1)])


def test_a_list_of_answers_is_weighted_by_their_number():
    found = metrics.items(score("inst_level_strict_acc", 2 / 3), [[True, False], [True]])
    assert found.items == [(0.5, 2), (1, 1)]


@pytest.mark.parametrize(
    ("value", "raws"),
    [
        (0.5, [[0, 1], [1, 1]]),  # F1: gold and prediction
        (0.9, [1.0, 0.0]),  # the samples of another run
        (0.5, []),
        (0.5, ["yes", "no"]),
    ],
)
def test_what_is_no_mean_of_the_samples_has_no_items(value, raws):
    assert metrics.items(score("f1", value), raws) is None


@pytest.mark.parametrize(
    ("label", "unit", "item"),
    [
        ("acc", "", Weighted(1.0, 1.0)),
        ("log_perplexity", "nats", Weighted(1.75, 1.0)),
        ("log_byte_perplexity", "nats", Weighted(1.75, 8.0)),
        ("bits_per_byte", "bits/byte", Weighted(0.75, 8.0)),
        ("gold_bpb", "bits/byte", Weighted(0.75, 8.0)),
        ("inst_level_strict_acc", "", Weighted(0.75, 4.0)),
    ],
)
def test_a_sample_is_read_back_as_it_was_written(label, unit, item):
    metric, _, filter_name = metrics.lm_eval_name(label).partition(",")
    value, _ = metrics.published_scale(label, item.value, 0.0)
    raw = metrics.sample_value(label, unit, item)
    found = metrics.items(score(metric, value, filter_name=filter_name), [raw])
    assert found.label == label
    assert found.items[0].value == pytest.approx(item.value, rel=1e-14)
    assert found.items[0].weight == item.weight


def test_the_direction_is_as_stated_else_by_name():
    assert metrics.direction("likelihood_difference", None) == "lower"
    assert metrics.direction("acc", None) == "higher"
    assert metrics.direction("acc", False) == "lower"


@pytest.mark.parametrize(
    ("metric", "way"),
    [
        ("val_loss", "lower"),
        ("eval/nll", "lower"),
        ("word_error_rate", "lower"),
        ("rougeL", "higher"),
        ("prompt_level_strict_acc", "higher"),
        ("pass@10", "higher"),
        ("quality", "none"),
        ("error_accuracy", "none"),
    ],
)
def test_a_direction_that_nobody_states_is_read_from_the_name_or_unknown(metric, way):
    assert metrics.direction(metric, None) == way


def test_every_aggregation_function_named_is_one_of_lm_evals():
    from lm_eval.api import metrics as theirs
    from lm_eval.tasks.ifeval import utils as ifeval

    known = {"agg_inst_level_acc": ifeval.agg_inst_level_acc}
    for name in metrics.FORMS:
        function = known.get(name) or getattr(theirs, name)
        assert function.__name__ == name


@pytest.mark.parametrize(
    ("name", "raws"),
    [
        ("mean", [1.0, 0.0, 0.5]),
        ("perplexity", [-1.0, -3.0]),
        ("weighted_perplexity", [[-10.0, 4], [-30.0, 5]]),
        ("bits_per_byte", [[-10.0, 8], [-30.0, 40]]),
    ],
)
def test_the_weighted_mean_is_lm_evals_aggregate(name, raws):
    from lm_eval.api import metrics as theirs

    function = getattr(theirs, name)
    metrics.check_aggregate("task", "metric", metrics.FORMS[name], function, raws)
    with pytest.raises(MeasureError, match="task/metric: the records give"):
        metrics.check_aggregate("task", "metric", metrics.FORMS[name], lambda _: -1.0, raws)
    assert metrics.items(score(name, function(raws)), raws) is not None
