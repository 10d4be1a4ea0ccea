from eventful import build, make, timeline


def test_regression_labels_are_the_column():
    data = build("regression", make(timeline()), column="rating")
    assert data.test.label.tolist() == [3, 4, 5]
    assert data.test.item.tolist() == [1, 2, 3]
