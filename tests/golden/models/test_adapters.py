"""Adapters merged into a package act as they do in PEFT, alone, chained and combined."""

import pytest
from goldens import (FP32, Decoder, Transcript, adapter_flags, by_name, cases, difference, model_of, parameters,
                     reference, tolerance)
from program import Program, settings

# PEFT recomputes the base of these when it loads them; the program says so instead.
REFUSED = {"adapter/pissa_raw": "pissa"}
# PEFT's merge adds to the tensor that embedding and head share, its live model does not.
SHARES_A_CHANGE = {"adapter/embedding_lora_tied", "adapter/lm_head_lora_tied"}
NAMES_OF_COMBINATIONS = {"set": "sequential"}


def combination(case):
    kind = case.get("combination_type")
    if not kind:
        return []
    options = {f"adapters__{key}": value for key, value in case.get("combine_kwargs", {}).items()}
    return settings(adapters__combination=NAMES_OF_COMBINATIONS.get(kind, kind), **options)


def flags_of(case):
    return [*FP32, *adapter_flags(case), *combination(case)]


def merged_alike(case):
    return case["name"] not in REFUSED and case["name"] not in SHARES_A_CHANGE


@pytest.mark.parametrize("case", parameters([c for c in cases("lora_merge") if merged_alike(c)]))
def test_a_merged_package_generates_what_peft_does(case, tmp_path, measure):
    transcript = Transcript(reference(case))
    decoder = Decoder(tmp_path, model_of(case), *flags_of(case))
    if case["tolerance"]["greedy_exact"]:
        tokens, _ = decoder.generate(transcript.prompt, len(transcript.generated))
        assert tokens == transcript.generated.tolist()
    measure("fp32 package with adapters", transcript.replayed(decoder), tolerance(case))


@pytest.mark.parametrize("case", parameters([c for c in cases("lora_merge") if c["name"] in SHARES_A_CHANGE]))
def test_a_tied_model_is_untied_to_act_as_the_live_adapter(case, tmp_path, measure):
    golden = reference(case)
    prompt, expected = golden["prompt_ids"], golden["unmerged_prefill_logits"]
    decoder = Decoder(tmp_path, model_of(case), *flags_of(case))
    for length in (1, len(prompt)):
        _, logits = decoder.generate(prompt[:length], force=prompt[length:])
        measure("fp32 package, untied", difference(logits, expected[length - 1 :]), tolerance(case))


def test_a_tied_model_can_stay_tied_as_peft_merges_it(tmp_path, measure):
    case = by_name("adapter/embedding_lora_tied")
    transcript = Transcript(reference(case))
    decoder = Decoder(tmp_path, model_of(case), *flags_of(case), *settings(adapters__tied="shared"))
    measure("fp32 package, kept tied", transcript.replayed(decoder), tolerance(case))


@pytest.mark.parametrize("case", parameters([c for c in cases("lora_merge") if c["name"] in REFUSED]))
def test_what_cannot_be_merged_is_refused_by_name(case, tmp_path):
    done = Program(tmp_path).run("convert", "--model", model_of(case), *flags_of(case), "-o", "out.mlpackage")
    assert done.returncode in (2, 3) and REFUSED[case["name"]] in done.stderr.lower(), done.stderr


STACKS = [c for c in cases("lora_merge") if len(c["adapters"]) > 1 and merged_alike(c)]


@pytest.mark.parametrize("case", parameters(STACKS))
def test_every_adapter_of_a_stack_counts(case, tmp_path):
    """Control: the comparison notices an adapter left out."""
    transcript = Transcript(reference(case))
    alone = {**case, "adapters": case["adapters"][:1], "combination_type": None}
    decoder = Decoder(tmp_path, model_of(case), *flags_of(alone))
    assert transcript.replayed(decoder) > 100 * tolerance(case)


def test_a_weight_of_zero_leaves_the_base(tmp_path, measure):
    base = next(c for c in cases("causal_lm") if c["name"] == "model/base_bias_fp32")
    case = by_name("adapter/chain_two" if _has("adapter/chain_two") else "adapter/combine_cat")
    nothing = {**case, "adapters": [{**a, "weight": 0} for a in case["adapters"]]}
    decoder = Decoder(tmp_path, model_of(base), *flags_of(nothing))
    measure("fp32 package, adapters of weight 0", Transcript(reference(base)).replayed(decoder), tolerance(base))


def _has(name):
    return any(c["name"] == name for c in cases("lora_merge"))
