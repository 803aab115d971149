"""Known answers of the Certificate Transparency reference implementation (the tree that RFC 6962 and its test data are about)."""

import pytest

from chain.merkle import EMPTY_ROOT, ProofError, consistency_path, inclusion_path, leaf_hash, root, root_from_path, verify_consistency

LEAVES = [
    leaf_hash(bytes.fromhex(text))
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {  # (index, size): siblings
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {  # (old size, new size): hashes
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def hashes(texts):
    return [bytes.fromhex(text) for text in texts]


def test_the_empty_tree_is_the_hash_of_nothing():
    assert root([]) == EMPTY_ROOT == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


@pytest.mark.parametrize("size", range(1, 9))
def test_roots(size):
    assert root(LEAVES[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_inclusion_paths(index, size):
    path = hashes(PATHS[index, size])
    assert inclusion_path(LEAVES[:size], index) == path
    assert root_from_path(LEAVES[index], index, size, path).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_proofs(old, new):
    path = hashes(CONSISTENCY[old, new])
    assert consistency_path(LEAVES[:new], old) == path
    verify_consistency(bytes.fromhex(ROOTS[old - 1]), old, bytes.fromhex(ROOTS[new - 1]), new, path)


def test_the_odd_leaf_is_not_doubled():
    assert root(LEAVES[:3]) != root([*LEAVES[:3], LEAVES[2]])


@pytest.mark.parametrize(
    ("index", "size", "change"),
    [
        (5, 8, lambda path: path[:-1]),
        (5, 8, lambda path: [*path, path[0]]),
        (8, 8, lambda path: path),
        (-1, 8, lambda path: path),
        (5, 0, lambda path: path),
        (5, 8, lambda path: [path[0][:31], *path[1:]]),
    ],
)
def test_a_path_of_the_wrong_shape_is_refused(index, size, change):
    with pytest.raises(ProofError):
        root_from_path(LEAVES[5], index, size, change(hashes(PATHS[5, 8])))


@pytest.mark.parametrize("size", [6, 9, 16])
def test_a_path_shows_nothing_for_a_tree_of_another_shape(size):
    with pytest.raises(ProofError):
        root_from_path(LEAVES[5], 5, size, hashes(PATHS[5, 8]))


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        (6, 8, lambda path: path[:-1]),
        (6, 8, lambda path: [*path, path[0]]),
        (6, 8, lambda path: [path[1], path[0], path[2]]),
        (5, 8, lambda path: path),
        (0, 8, lambda path: path),
        (8, 6, lambda path: path),
        (6, 8, lambda _: []),
        (6, 6, lambda path: path),
    ],
)
def test_a_false_consistency_proof_is_refused(old, new, change):
    with pytest.raises(ProofError):
        verify_consistency(bytes.fromhex(ROOTS[old - 1]), old, bytes.fromhex(ROOTS[new - 1]), new, change(hashes(CONSISTENCY[6, 8])))
