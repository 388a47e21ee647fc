import pytest
from sop_envs.catalogue import COLOURS, PATTERNS, SHAPES, all_products, product_named, products_of

from sop_bench.errors import ConfigurationError


def test_the_catalogue_has_550_products_with_unique_names():
    names = {product.name for product in all_products()}
    assert len(all_products()) == len(names) == 550


def test_440_products_are_for_training_and_110_are_held_out():
    train, test = products_of("train"), products_of("test")
    assert (len(train), len(test)) == (440, 110)
    assert not set(train) & set(test)


def test_every_word_and_pair_of_words_of_a_held_out_name_occurs_in_training():
    seen = {frozenset(pair) for product in products_of("train") for pair in _word_pairs(product.name)}
    for product in products_of("test"):
        assert all(frozenset(pair) in seen for pair in _word_pairs(product.name))


def test_held_out_products_use_every_word():
    words = {word for product in products_of("test") for word in product.name.split()}
    assert words == {*COLOURS, *PATTERNS, *SHAPES}


def test_products_fit_the_open_jaw_and_the_carry_height():
    assert all(0.028 <= product.width_m <= 0.030 for product in all_products())
    assert all(0.036 <= product.height_m <= 0.058 for product in all_products())


def test_a_product_is_found_by_its_name_and_a_misspelt_one_gets_a_suggestion():
    assert product_named("green banded carton").colour == "green"
    with pytest.raises(ConfigurationError, match="Did you mean 'green banded carton'"):
        product_named("green bandid carton")


def _word_pairs(name: str) -> list[tuple[str, str]]:
    a, b, c = name.split()
    return [(a, b), (a, c), (b, c)]
