"""Items: values that components of one request pass to each other; ItemKey: a key nobody else can have."""

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

T = TypeVar("T")


class ItemKey(Generic[T]):
    """A key for ``self.items`` that is equal to itself alone: ``CURRENT_USER = ItemKey[User]("current user")``.

    Two components that happen to choose the same name do not meet (as ASP.NET Core recommends for
    ``HttpContext.Items``), and type checkers know the value's type. ``name`` is for people who read a traceback.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"ItemKey({self._name!r})"


class Items(dict[Any, Any]):
    """``self.items`` in a handler: a dict that lives as long as the request and is never stored."""

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, key: ItemKey[T], /) -> T: ...
        @overload
        def __getitem__(self, key: str, /) -> Any: ...
        def __getitem__(self, key: Any, /) -> Any: ...

        @overload
        def get(self, key: ItemKey[T], default: None = None, /) -> T | None: ...
        @overload
        def get(self, key: ItemKey[T], default: T, /) -> T: ...
        @overload
        def get(self, key: str, default: Any = None, /) -> Any: ...
        def get(self, key: Any, default: Any = None, /) -> Any: ...

        @overload
        def __setitem__(self, key: ItemKey[T], value: T, /) -> None: ...
        @overload
        def __setitem__(self, key: str, value: Any, /) -> None: ...
        def __setitem__(self, key: Any, value: Any, /) -> None: ...
