import numpy as np
import pytest

from edge_tester.core.errors import InputError, RecordError
from edge_tester.core.run.outputs import OutputFiles


def kept(directory, *inferences):
    with OutputFiles(directory) as files:
        for outputs in inferences:
            files.append([[np.asarray(output) for output in outputs]])
            files.commit()
    return {path.name: np.load(path) for path in sorted(directory.glob("*"))}


def samples_of(found, name="output_0"):
    values, place = found[f"{name}_values.npy"], 0
    samples = []
    for shape in found[f"{name}_shapes.npy"]:
        samples.append(values[place : place + shape.prod()].reshape(shape))
        place += shape.prod()
    assert place == len(values)
    return samples


def test_equal_shapes_are_one_file(tmp_path):
    found = kept(tmp_path, ([[[1, 2]]], [[3]]), ([[[4, 5]]], [[6]]))
    assert ["output_0.npy", "output_1.npy"] == list(found)
    assert [[[1, 2]], [[4, 5]]] == found["output_0.npy"].tolist()
    assert [[3], [6]] == found["output_1.npy"].tolist()


@pytest.mark.parametrize("counts", [(2, 3, 0), (1, 2, 1), (1, 1, 4), (0, 1, 2)])
def test_lists_of_changing_length_are_kept(tmp_path, counts):
    """A list of one comes as a batch of one, as a runtime without batch axis gives it."""
    lists = [
        10 * index + np.arange(4.0 * count).reshape(count, 4) for index, count in enumerate(counts)
    ]
    given = [one if len(one) == 1 else one[np.newaxis] for one in lists]
    found = kept(tmp_path, *([one] for one in given))
    assert [one.tolist() for one in lists] == [one.tolist() for one in samples_of(found)]
    assert not (tmp_path / "output_0.npy").exists()


def test_a_changing_number_of_axes_is_refused(tmp_path):
    with pytest.raises(InputError, match="number of axes"):
        kept(tmp_path, [np.zeros((1, 2))], [np.zeros((1, 3, 4, 5))])


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be written"):
        kept(tmp_path / "file" / "below", [np.zeros((1, 2))])
