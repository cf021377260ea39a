"""What openapi-python-client makes of the shop's document, at the server and under mypy: each `ignore` is an error that
mypy has to find."""

import datetime
import os
import uuid

from shop_client import AuthenticatedClient, Client
from shop_client.api.customers import create_customer
from shop_client.api.orders import create_order, delete_order, list_orders, read_order, update_order
from shop_client.api.products import create_product, list_products
from shop_client.api.sessions import create_session
from shop_client.api.users import create_user
from shop_client.models import (
    NewCustomer,
    NewCustomerAddress,
    NewOrder,
    NewOrderStatus,
    NewProduct,
    NewSession,
    NewUser,
    Order,
    OrderList,
    OrderPatch,
    OrderPatchStatus,
    Problem,
    Product,
    ProductList,
    TokenPair,
)
from shop_client.types import UNSET

ISSUER = os.environ["ISSUER"]
PASSWORD = "correct horse battery staple"
VISITOR = Client(base_url=ISSUER)


def sign_in(email: str, password: str) -> AuthenticatedClient:
    pair = create_session.sync(client=VISITOR, body=NewSession(email=email, password=password))
    assert isinstance(pair, TokenPair) and isinstance(pair.access_token, str), pair
    return AuthenticatedClient(base_url=ISSUER, token=pair.access_token)


def main() -> None:
    staff = sign_in(os.environ["STAFF"], os.environ["STAFF_PASSWORD"])
    product = create_product.sync(client=staff, body=NewProduct(title="Nib", price=7, tags=["gold"]))
    assert isinstance(product, Product), product
    products = list_products.sync(client=staff, filter_="price == 7", order_by="-price")
    assert isinstance(products, ProductList) and product.id in [one.id for one in products.items], products

    # Whoever may come with a token has to, as this generator has it.
    email = f"{uuid.uuid4()}@example.com"
    create_user.sync(client=VISITOR, body=NewUser(email=email, password=PASSWORD))  # type: ignore[arg-type]
    ada = sign_in(email, PASSWORD)
    customer = create_customer.sync(client=ada, body=NewCustomer(name="Ada", address=NewCustomerAddress(city="London")))
    assert customer and not isinstance(customer, Problem) and customer.address, customer

    due = datetime.datetime(2027, 1, 1, tzinfo=datetime.UTC)
    new = NewOrder(title="Nib", price=7, status=NewOrderStatus.OPEN, due=due)
    order = create_order.sync(client=ada, body=new)
    assert isinstance(order, Order), order
    assert (order.version, order.due, order.price) == (1, due, 7), order
    page = list_orders.sync(client=ada, filter_="price >= 5 && status == 'open'", limit=5)
    assert isinstance(page, OrderList) and page.items == [order] and page.next_cursor is None, page
    read = read_order.sync_detailed(order.id, client=ada)
    tag = read.headers["etag"]
    assert read.parsed == order and tag == '"1"', read

    patch = OrderPatch(price=6.5, due=None)
    changed = update_order.sync(order.id, client=ada, body=patch, if_match=tag)
    assert isinstance(changed, Order) and changed.price == 6.5 and changed.due is UNSET, changed
    stale = update_order.sync(order.id, client=ada, body=patch, if_match=tag)
    assert isinstance(stale, Problem) and (stale.status, stale.current_version) == (412, 2), stale
    new.price = -1
    refused = create_order.sync(client=ada, body=new)
    assert isinstance(refused, Problem) and refused.status == 422 and refused.errors, refused
    assert refused.errors[0].pointer == "/price", refused
    assert delete_order.sync_detailed(order.id, client=ada).status_code == 204
    gone = read_order.sync(order.id, client=ada)
    assert isinstance(gone, Problem) and gone.status == 404, gone


def wrong(order: Order) -> None:
    order.titel  # type: ignore[attr-defined]
    NewOrder(title="Nib", status=NewOrderStatus.OPEN)  # type: ignore[call-arg]
    NewOrder(title="Nib", price=7, status="open")  # type: ignore[arg-type]
    OrderPatch(price=None)  # type: ignore[arg-type]
    OrderPatch(colour="blue")  # type: ignore[call-arg]
    create_order.sync(client=VISITOR, body=NewOrder(title="", price=1, status=NewOrderStatus.SENT))  # type: ignore[arg-type]
    print(OrderPatchStatus.LOST)  # type: ignore[attr-defined]


main()
