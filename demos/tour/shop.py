"""What the tour sells."""

from decimal import Decimal
from typing import Final, NamedTuple


class Product(NamedTuple):
    sku: str
    name: str
    kind: str
    price: Decimal


PRODUCTS: Final = (
    Product("assam", "Assam, second flush, 100 g", "black", Decimal("7.40")),
    Product("keemun", "Keemun, 100 g", "black", Decimal("9.80")),
    Product("sencha", "Sencha, 100 g", "green", Decimal("8.20")),
    Product("longjing", "Longjing, 50 g", "green", Decimal("12.50")),
    Product("teapot", "Glass teapot, 0.8 l", "ware", Decimal("24.00")),
    Product("whisk", "Bamboo whisk", "ware", Decimal("14.90")),
)
BY_SKU: Final = {product.sku: product for product in PRODUCTS}


def total(cart: dict[str, int]) -> Decimal:
    return sum((BY_SKU[sku].price * quantity for sku, quantity in cart.items()), Decimal(0))
